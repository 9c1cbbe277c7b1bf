"""A pass over the fleet: rolls up what has closed, then what came late, then says how far it is.

Every rollup is computed from chunks, or from the finer rollups, and put whole; nothing is ever added to
what is stored. Progress is saved after the work that it stands for, and a mark is removed after the
recomputation, so a crash anywhere only means that something is done twice. Two passes at once do the
same work twice: the one of more chunks wins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock
from typing import Protocol

from cloud import latest, rollup_cursor, rollup_item, snapshot, telemetry
from cloud.buckets import DAY, FINER, HOUR, SHORT_MS, Step, closed
from cloud.dynamo import ConditionError, Patience, RefusedError, TransientError
from cloud.keys import DAY_MS, HOUR_MS, MARK_SHARDS, Item
from cloud.latest import Latest
from cloud.rollup_cursor import Cursor
from cloud.rollup_item import Rollup
from cloud.rollup_marks import Mark
from cloud.rollup_settings import RollupSettings
from cloud.rollup_store import Page, RollupStore
from edge_agent.contract import MAX_SPAN_MS, Batch, ContractError

WORKERS = 8
"""Gateways at once, below botocore's 10 connections."""
GATEWAYS_IN_PAGE = 200
"""After so many the cursor is saved: what a time-out repeats at most."""
SWEEP_SHARE = 0.7
"""Part of the time for what has closed; the rest is for what came late."""
COUNTS = (
    "RollupGateways",
    "RollupPeriods",
    "RollupOutdated",
    "RollupRecomputed",
    "RollupBeyondWindow",
    "RollupUnreadable",
    "RollupRefused",
    "RollupUnfinished",
    "RollupOvertaken",
    "RollupSecondsBehind",
)
"""What a pass counts, as metrics."""


class Observer(Protocol):
    """Somebody else who wants to see the stored batches while they are at hand."""

    def __call__(self, gateway: str, batches: Sequence[Batch], since_ms: int, until_ms: int) -> None:
        """Batches that may have readings in [since, until); called again when a pass is repeated."""


@dataclass(frozen=True, slots=True)
class Pass:
    """The rollup of one segment of the gateways."""

    store: RollupStore
    settings: RollupSettings
    say: Callable[[Mapping[str, object]], None]
    workers: int = WORKERS
    page: int = GATEWAYS_IN_PAGE
    observers: tuple[Observer, ...] = ()
    counts: Counter[str] = field(default_factory=Counter)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def run(self, now_ms: int, patience: Patience, segment: int = 0, segments: int = 1) -> None:
        """Roll up until all is done or the time is over; what is left is for the next pass."""
        self.counts.clear()
        self.counts.update(dict.fromkeys(COUNTS, 0))
        try:
            self._sweep(now_ms, patience.share(SWEEP_SHARE), segment, segments)
        except ConditionError:
            # Another pass is at the same gateways and has saved more.
            self._count("RollupOvertaken")
        except (TransientError, RefusedError) as exc:
            self._unfinished("sweep", [str(exc)])
        try:
            self._late(now_ms, patience, segment, segments)
        except (TransientError, RefusedError) as exc:
            self._unfinished("marks", [str(exc)])
        self.say(telemetry.metrics(self.settings.stage, now_ms, self.counts))

    def _count(self, name: str, by: int = 1) -> None:
        with self._lock:
            self.counts[name] += by

    def _unfinished(self, what: str, reasons: Sequence[str]) -> None:
        self._count("RollupUnfinished")
        self.say(
            {"level": "WARNING", "event": "unfinished", "what": what, "reasons": sorted(set(reasons))[:5]}
        )

    # --- what has closed --------------------------------------------------------------------------

    def _sweep(self, now_ms: int, patience: Patience, segment: int, segments: int) -> None:
        cursor = self._cursor(now_ms, segment, segments)
        self._behind(cursor, now_ms)
        while patience.remains():
            if not cursor.sweeping:
                until_ms = cursor.next_until(now_ms)
                if until_ms <= cursor.done_ms:
                    return
                # Saved before any rollup of the sweep: who repairs a day must know that it has begun.
                cursor = self.store.save(replace(cursor, until_ms=until_ms, after="", page=0, parts=()))
            page = self.store.gateways(cursor.after, self.page, segment, segments)
            if not self._page(page, cursor, patience):
                return
            parts = (*cursor.parts, self._graph(page, cursor, now_ms))
            if page.after:
                cursor = replace(cursor, after=page.after, page=cursor.page + 1, parts=parts)
            else:
                head = snapshot.Head(segment, segments, cursor.until_ms, parts)
                self.store.put_plainly([snapshot.pack_head(head)])
                cursor = replace(cursor, done_ms=cursor.until_ms, after="", page=0, parts=())
            cursor = self.store.save(cursor)
            self._behind(cursor, now_ms)

    def _cursor(self, now_ms: int, segment: int, segments: int) -> Cursor:
        found = self.store.cursors()
        own = [each for each in found if (each.segment, each.segments) == (segment, segments)]
        # Saved at once: days are whole from the first pass on.
        return own[0] if own else self.store.save(rollup_cursor.first(segment, segments, found, now_ms))

    def _behind(self, cursor: Cursor, now_ms: int) -> None:
        self.counts["RollupSecondsBehind"] = (closed(now_ms) - cursor.done_ms) // 1000

    def _page(self, page: Page, cursor: Cursor, patience: Patience) -> bool:
        """Roll up a page of gateways; says whether all of them are done."""

        def work(gateway: str) -> None:
            self._roll(gateway, cursor.done_ms, cursor.until_ms, SHORT_MS)
            for step in (HOUR, DAY):
                self._coarser(gateway, step, cursor.done_ms, cursor.until_ms, cursor)

        left = self._all(page.gateways, work, patience)
        self._count("RollupGateways", len(page.gateways) - len(left))
        return not left

    def _all(self, gateways: list[str], work: Callable[[str], None], patience: Patience) -> list[str]:
        """Do the work for each gateway, several at once and again where it failed; returns what is left."""
        reasons: dict[str, str] = {}

        def one(gateway: str) -> bool:
            try:
                if not patience.remains():
                    return False
                work(gateway)
            except TransientError as exc:
                reasons[gateway] = str(exc)
                return False
            except RefusedError as exc:
                # It would fail for ever, and the others must not wait for it.
                self._count("RollupRefused")
                self.say({"level": "ERROR", "event": "refused", "gateway": gateway, "reason": str(exc)})
            return True

        def once(pending: list[str]) -> list[str]:
            if self.workers == 1:
                return [gateway for gateway in pending if not one(gateway)]
            with ThreadPoolExecutor(self.workers) as pool:
                return [each for each, done in zip(pending, pool.map(one, pending), strict=True) if not done]

        left = patience.rounds(gateways, once)
        if left:
            self._unfinished("gateways", [reasons.get(gateway, "no time is left") for gateway in left])
        return left

    def _roll(self, gateway: str, since_ms: int, until_ms: int, slack_ms: int) -> None:
        """Put the 5-minute rollups of [since, until)."""
        batches, unreadable = self.store.batches(gateway, since_ms, until_ms, slack_ms)
        self._count("RollupUnreadable", unreadable)
        for rollup in rollup_item.of_batches(gateway, batches, since_ms, until_ms):
            self._put(rollup)
        for observer in self.observers:
            observer(gateway, batches, since_ms, until_ms)

    def _coarser(self, gateway: str, step: Step, since_ms: int, until_ms: int, cursor: Cursor) -> None:
        """Put the rollups of a longer step that ended in (since, until], from the finer ones."""
        for start_ms in step.starts(since_ms, until_ms):
            end_ms = start_ms + step.length_ms
            if since_ms < end_ms <= until_ms and start_ms >= cursor.since_ms:
                parts = self.store.rollups(gateway, FINER[step], start_ms, end_ms)
                for rollup in rollup_item.combine(parts, step):
                    self._put(rollup)

    def _put(self, rollup: Rollup) -> None:
        put = self.store.put(rollup, self.settings.keep_days(rollup.step))
        self._count("RollupPeriods" if put else "RollupOutdated")

    # --- the graph --------------------------------------------------------------------------------

    def _graph(self, page: Page, cursor: Cursor, now_ms: int) -> int:
        """Put the links of a page of gateways into the graph; returns in how many parts."""
        states = [state for item in page.items if (state := self._state(item))]
        parts = snapshot.pack(snapshot.edges(states, now_ms), cursor.segment, cursor.until_ms, cursor.page)
        self.store.put_plainly(parts)
        return len(parts)

    def _state(self, item: Item) -> Latest | None:
        try:
            return latest.parse(item)
        except (ContractError, ValueError, KeyError):
            # One gateway that cannot be read must not stop the graph of the others.
            self._count("RollupUnreadable")
            return None

    # --- what came late ---------------------------------------------------------------------------

    def _late(self, now_ms: int, patience: Patience, segment: int, segments: int) -> None:
        for shard in range(MARK_SHARDS):
            if shard % segments != segment:
                continue
            marks = {f"{mark.gateway} {mark.hour_ms}": mark for mark in self.store.marks(shard)}
            self._all(list(marks), partial(self._repair_named, marks, now_ms), patience)

    def _repair_named(self, marks: Mapping[str, Mark], now_ms: int, name: str) -> None:
        self._repair(marks[name], now_ms)

    def _repair(self, mark: Mark, now_ms: int) -> None:
        """Recompute all that an hour is in, then remove its mark."""
        end_ms = mark.hour_ms + HOUR_MS
        if end_ms > closed(now_ms):
            return
        if mark.hour_ms < now_ms - self.settings.window_days * DAY_MS:
            self._count("RollupBeyondWindow")
            self.store.clear(mark)
            return
        self._roll(mark.gateway, mark.hour_ms, end_ms, MAX_SPAN_MS)
        # Twice the hour from its parts costs little; a cursor says nothing about what a mark makes.
        for rollup in rollup_item.combine(
            self.store.rollups(mark.gateway, FINER[HOUR], mark.hour_ms, end_ms), HOUR
        ):
            self._put(rollup)
        self._repair_day(mark)
        self.store.clear(mark)
        self._count("RollupRecomputed")

    def _repair_day(self, mark: Mark) -> None:
        """Recompute the day of an hour that has just changed, if it was rolled up or is about to be.

        The cursors are read after the hour was put: a sweep that begins later finds it.
        """
        start_ms = DAY.start(mark.hour_ms)
        end_ms = start_ms + DAY_MS
        for cursor in self.store.cursors():
            if cursor.until_ms >= end_ms:
                self._coarser(mark.gateway, DAY, start_ms, end_ms, cursor)
                return
