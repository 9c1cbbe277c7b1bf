"""Making old readings coarser: every second reading of each series goes, what is left is sealed anew."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise

from edge_agent.contract import Batch, ContractError, Link, Loss, Reading, decode
from edge_agent.sealing import LINKS_DEFINED, leading_group, pack
from edge_agent.spool.files import write_new
from edge_agent.spool.frame import encode_frame
from edge_agent.spool.layout import BATCHES, NEW, name_of, whole_pages
from edge_agent.spool.losses import Lost
from edge_agent.spool.records import BatchHead, Owner, Record
from edge_agent.spool.sealer import head_of
from edge_agent.spool.segments import ACKED, GONE, SENT, Segment
from edge_agent.spool.store import Store

MAX_LEVEL = 6
"""Coarser than one reading of 64 is not worth keeping: then the oldest goes."""
KEPT_KINDS = ("gap", "state", "agent")
"""What happened, not how it was: never thinned."""


@dataclass(slots=True)
class Coarser:
    """What becomes of a run of batches."""

    batches: list[tuple[BatchHead, bytes]] = field(default_factory=list)
    losses: list[Lost] = field(default_factory=list)


def thin_pair(store: Store, segments: Sequence[Segment]) -> bool:
    """Make one file of two neighbours that were never sent; whether there were two that it helps with."""
    pair = _pair(segments)
    if pair is None:
        return False
    made = _coarser(store, pair)
    if made is None:
        return False
    level = max(each.level for each in pair) + 1
    owner = Owner(pair[0].epoch, pair[0].start, store.state.gateway, level)
    frames = [encode_frame(Record.OWNER, owner.encode())]
    frames += [encode_frame(Record.BATCH, head.encode(payload)) for head, payload in made.batches]
    used = sum(map(len, frames))
    size = whole_pages(used + 1)
    if size > sum(each.size for each in pair) * 3 // 4:
        return False
    name = name_of(BATCHES, store.number())
    store.reserve.release()
    write_new(store.disk, name, size, b"".join(frames))
    store.disk.sync_folder()
    removing = [each.name for each in pair]
    store.is_in_doubt = True
    store.lose(made.losses, removing=removing, adopting=name)
    store.disk.rename(name + NEW, name)
    store.disk.sync_folder()
    store.is_in_doubt = False
    segment = Segment(name, size, owner.epoch, used=used, level=level, origin=owner.first)
    at = len(frames[0])
    for (head, _), frame in zip(made.batches, frames[1:], strict=True):
        segment.note(head, at, len(frame))
        at += len(frame)
    store.forget(removing)
    store.segments.insert(segment)
    store.note_sealed(segment, 0)
    return True


def _pair(segments: Sequence[Segment]) -> tuple[Segment, Segment] | None:
    """The two oldest neighbours of the finest grain, of which nothing was sent."""
    best: tuple[Segment, Segment] | None = None
    for one, two in pairwise(segments):
        if one.epoch != two.epoch or not (one.firsts and two.firsts):
            continue
        level = max(one.level, two.level)
        if level >= MAX_LEVEL or any(mark & (SENT | ACKED) for mark in (*one.marks, *two.marks)):
            continue
        if best is None or level < max(best[0].level, best[1].level):
            best = (one, two)
    return best


def _coarser(store: Store, pair: Iterable[Segment]) -> Coarser | None:
    made, run, links = Coarser(), list[tuple[int, Reading]](), list[Link]()
    end = -1
    for segment in pair:
        for place, first in enumerate(segment.firsts):
            if segment.marks[place] & GONE:
                continue
            found = store.segments.read(segment, place)
            if found is None:
                return None  # damage is for who reads it next to find
            with suppress(ContractError):
                batch = decode(found[1])
                if run and first != end:
                    _seal_run(store, made, run, links)
                    run, links = [], []
                run += enumerate(batch.readings, first)
                links += [link for link in batch.links if link not in links]
                end = first + len(batch.readings)
                continue
            return None
    if run:
        _seal_run(store, made, run, links)
    return made


def _seal_run(store: Store, made: Coarser, run: list[tuple[int, Reading]], links: list[Link]) -> None:
    """Every second reading of each series, under the first numbers of the run; the rest is a gap."""
    turn: dict[tuple[str, str], int] = defaultdict(int)
    kept: list[Reading] = []
    for _, reading in run:
        turn[reading.kind, reading.link] += 1
        if reading.kind in KEPT_KINDS or turn[reading.kind, reading.link] % 2:
            kept.append(reading)
    start, end = run[0][0], run[-1][0] + 1
    waiting = list(enumerate(kept, start))
    due = tuple(links)
    while waiting:
        group = leading_group(waiting[:240])
        readings = tuple(reading for _, reading in group)
        batch = Batch(
            store.state.gateway,
            store.state.epoch_of(start),
            group[0][0],
            store.now_ms(),
            readings,
            due[:LINKS_DEFINED],
        )
        for part, payload in pack(batch, store.max_payload):
            made.batches.append((head_of(part), payload))
            due = due[len(part.links) :]
        waiting = waiting[len(group) :]
    if start + len(kept) < end:
        times = [reading.at_ms for _, reading in run]
        made.losses.append(Lost(Loss.THINNED, start + len(kept), end, min(times), max(times)))
