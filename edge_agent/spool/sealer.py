"""Readings of the journal into batches that never change again."""

from __future__ import annotations

from collections.abc import Sequence

from edge_agent.contract import Batch, Link, Loss
from edge_agent.sealing import LINKS_DEFINED, Numbered, from_row, leading_group, pack
from edge_agent.spool.frame import encode_frame
from edge_agent.spool.journal import LostRows
from edge_agent.spool.losses import Lost
from edge_agent.spool.records import BatchHead, Record, Trait
from edge_agent.spool.store import Store
from edge_agent.taken import Settle

BATCHES_A_CALL = 64
Ready = list[tuple[BatchHead, bytes]]


class Sealer:
    """Seals in the order of the numbers; keeps in mind which links the cloud has to be told of."""

    def __init__(self, links: Sequence[Link], batch_readings: int, max_payload: int) -> None:
        self._links = tuple(links)
        self._due = self._links
        self._batch_readings = batch_readings
        self._max_payload = max_payload

    def redefine(self) -> None:
        """Define all links again."""
        self._due = self._links

    def seal(self, store: Store, now_ms: int, settle: Settle, full_only: bool) -> int:
        """Seal what is ready; returns how many batches."""
        sealed = 0
        while sealed < BATCHES_A_CALL:
            if store.redefine:
                store.redefine = False
                self.redefine()
            group = self._next_group(store, settle, full_only)
            if not group:
                break
            sealed += self._seal_group(store, group, now_ms)
        return sealed

    def _next_group(self, store: Store, settle: Settle, full_only: bool) -> list[Numbered]:
        # Offline a batch may grow: more readings of the same series deflate better.
        limit = self._batch_readings * 4 if full_only else self._batch_readings
        numbered, is_held = settled(store, limit, settle)
        group = leading_group(numbered)
        is_open = len(group) == len(numbered) < limit
        return [] if full_only and is_open and not is_held else group

    def _seal_group(self, store: Store, group: Sequence[Numbered], now_ms: int) -> int:
        readings = tuple(reading for _, reading in group)
        batch = Batch(
            store.state.gateway, store.state.epoch, group[0][0], now_ms, readings, self._due[:LINKS_DEFINED]
        )
        due, ready = self._due, []
        for part, payload in pack(batch, self._max_payload):
            ready.append((head_of(part), payload))
            due = due[len(part.links) :]
        if not keep(store, ready):
            return 0
        self._due = due
        return len(ready)


def settled(store: Store, limit: int, settle: Settle) -> tuple[list[Numbered], bool]:
    """The oldest unsealed readings that have their final time, and whether others wait for theirs."""
    found: list[Numbered] = []
    at = store.frontier
    while len(found) < limit:
        try:
            rows = store.journal.first_from(at)
        except LostRows as exc:
            store.lose(
                [
                    Lost(Loss.DAMAGED, start, end)
                    for start, end in store.state.gone.missing(max(at, exc.first), exc.end)
                ]
            )
            at = exc.end
            continue
        if rows is None:
            break
        for sequence, row in enumerate(rows.rows(), rows.first):
            if sequence < at or sequence in store.state.gone:
                continue
            reading = settle(from_row(row))
            if reading is None:
                return found, True
            found.append((sequence, reading))
        at = rows.end
    return found[:limit], False


def head_of(batch: Batch) -> BatchHead:
    """What is kept beside the payload."""
    traits = Trait.NONE
    for reading in batch.readings:
        traits |= Trait.URGENT if reading.kind == "state" else Trait.NONE
        traits |= Trait.HAS_GAP if reading.kind == "gap" else Trait.NONE
    span_ms = batch.last_ms - batch.first_ms
    count, links = len(batch.readings), len(batch.links)
    return BatchHead(batch.first_sequence, count, links, traits, batch.last_ms, span_ms, batch.sealed_ms)


def keep(store: Store, ready: Ready) -> bool:
    """Write batches, durably, where their readings were; not when those had to make room for the file."""
    for head, payload in ready:
        frame = encode_frame(Record.BATCH, head.encode(payload))
        store.have_room(len(frame), head.first)
        if store.frontier > head.first:
            return False
        segment = store.segments.files[-1]
        store.segments.append(head, frame)
        store.note_sealed(segment, len(segment.firsts) - 1)
        store.frontier = head.end
        store.state.latest_ms = head.last_ms
    store.journal.release(store.frontier)
    return True
