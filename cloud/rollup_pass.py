"""A pass over the fleet: rolls up what has closed, then what came late, then says how far it is.

Every rollup is computed from chunks, or from the finer rollups, and put whole; nothing is ever added to
what is stored. Progress is saved after the work that it stands for, and a mark is removed after the
recomputation, so a crash anywhere only means that something is done twice. Two passes at once do the
same work twice: the one of more chunks wins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock
from typing import Protocol

from cloud import rollup_crew, rollup_cursor, rollup_item, snapshot, telemetry
from cloud.buckets import DAY, FINER, HOUR, SHORT_MS, Step, closed
from cloud.dynamo import ConditionError, Patience, RefusedError, TransientError
from cloud.keys import DAY_MS, HOUR_MS, MARK_SHARDS, Item
from cloud.latest import Latest
from cloud.rollup_cursor import Cursor
from cloud.rollup_item import Rollup
from cloud.rollup_marks import Mark
from cloud.rollup_settings import RollupSettings
from cloud.rollup_store import Page, RollupStore
from edge_agent.contract import MAX_SPAN_MS, Batch

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

    def __call__(
        self, gateway: str, batches: Sequence[Batch], since_ms: int, until_ms: int, heard_ms: int
    ) -> None:
        """Batches that may have readings in [since, until), of a gateway that was last heard then.

        Called again when a pass is repeated.
        """


class Visitor(Protocol):
    """Somebody else who wants to see the latest items while they are fresh."""

    def __call__(
        self, items: Sequence[Item], states: Mapping[str, Latest], now_ms: int, patience: Patience
    ) -> None:
        """A page of latest items, and by gateway the states in those that can be read; raises nothing."""


@dataclass(frozen=True, slots=True)
class Pass:
    """The rollup of one segment of the gateways."""

    store: RollupStore
    settings: RollupSettings
    say: Callable[[Mapping[str, object]], None]
    workers: int = rollup_crew.WORKERS
    page: int = GATEWAYS_IN_PAGE
    observers: tuple[Observer, ...] = ()
    visitors: tuple[Visitor, ...] = ()
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
        cursor, others = self._cursors(now_ms, segment, segments)
        self.counts["RollupSecondsBehind"] = rollup_cursor.seconds_behind([cursor, *others], now_ms)
        while patience.remains():
            if not cursor.sweeping:
                until_ms = cursor.next_until(now_ms)
                if until_ms <= cursor.done_ms:
                    return
                # Saved before any rollup of the sweep: who repairs a day must know that it has begun.
                cursor = self.store.save(replace(cursor, until_ms=until_ms, after="", page=0, parts=()))
            page = self.store.gateways(cursor.after, self.page, segment, segments)
            states = page.states()
            # One gateway that cannot be read must not stop the others.
            self._count("RollupUnreadable", len(page.items) - len(states))
            for visitor in self.visitors:
                visitor(page.items, states, now_ms, patience)
            if not self._page(page, states, cursor, patience):
                return
            parts = (*cursor.parts, self._graph(states, cursor, now_ms))
            if page.after:
                cursor = replace(cursor, after=page.after, page=cursor.page + 1, parts=parts)
            else:
                head = snapshot.Head(segment, segments, cursor.until_ms, parts)
                self.store.put_plainly([snapshot.pack_head(head)])
                cursor = replace(cursor, done_ms=cursor.until_ms, after="", page=0, parts=())
            cursor = self.store.save(cursor)
            self.counts["RollupSecondsBehind"] = rollup_cursor.seconds_behind([cursor, *others], now_ms)

    def _cursors(self, now_ms: int, segment: int, segments: int) -> tuple[Cursor, list[Cursor]]:
        """The cursor of this pass, and those of the passes that share the gateways with it."""
        found = self.store.cursors()
        sharing = {each.segment: each for each in found if each.segments == segments}
        # Saved at once: days are whole from the first pass on.
        own = sharing.pop(segment, None) or self.store.save(
            rollup_cursor.first(segment, segments, found, now_ms)
        )
        return own, [*sharing.values()]

    def _page(self, page: Page, states: Mapping[str, Latest], cursor: Cursor, patience: Patience) -> bool:
        """Roll up a page of gateways; says whether all of them are done."""

        def work(gateway: str) -> None:
            # Who cannot be read may have been heard just now.
            heard_ms = states[gateway].rx_ms if gateway in states else cursor.until_ms
            self._roll(gateway, cursor.done_ms, cursor.until_ms, SHORT_MS, heard_ms)
            for step in (HOUR, DAY):
                self._coarser(gateway, step, cursor.done_ms, cursor.until_ms, cursor)

        left = self._all(page.gateways, work, patience)
        self._count("RollupGateways", len(page.gateways) - len(left))
        return not left

    def _all(self, gateways: list[str], work: Callable[[str], None], patience: Patience) -> list[str]:
        """Do the work for each gateway, several at once and again where it failed; returns what is left."""
        left = rollup_crew.do_all(gateways, work, patience, self.workers, self._refused)
        if left:
            self._unfinished("gateways", [*left.values()])
        return [*left]

    def _refused(self, gateway: str, reason: str) -> None:
        self._count("RollupRefused")
        self.say({"level": "ERROR", "event": "refused", "gateway": gateway, "reason": reason})

    def _roll(self, gateway: str, since_ms: int, until_ms: int, slack_ms: int, heard_ms: int) -> None:
        """Put the 5-minute rollups of [since, until)."""
        batches, unreadable = self.store.batches(gateway, since_ms, until_ms, slack_ms)
        self._count("RollupUnreadable", unreadable)
        for rollup in rollup_item.of_batches(gateway, batches, since_ms, until_ms):
            self._put(rollup)
        for observer in self.observers:
            observer(gateway, batches, since_ms, until_ms, heard_ms)

    def _coarser(self, gateway: str, step: Step, since_ms: int, until_ms: int, cursor: Cursor) -> None:
        """Put the rollups of a longer step that ended in (since, until], from the finer ones."""
        for start_ms in step.starts(since_ms, until_ms):
            end_ms = start_ms + step.length_ms
            if since_ms < end_ms <= until_ms and start_ms >= cursor.since_ms:
                self._combine(gateway, step, start_ms, end_ms)

    def _combine(self, gateway: str, step: Step, start_ms: int, end_ms: int) -> None:
        """Put the rollups of a longer step in [start, end) from the finer ones that can be read."""
        parts, unreadable = self.store.rollups(gateway, FINER[step], start_ms, end_ms)
        self._count("RollupUnreadable", unreadable)
        for rollup in rollup_item.combine(parts, step):
            self._put(rollup)

    def _put(self, rollup: Rollup) -> None:
        put = self.store.put(rollup, self.settings.keep_days(rollup.step))
        self._count("RollupPeriods" if put else "RollupOutdated")

    # --- the graph --------------------------------------------------------------------------------

    def _graph(self, states: Mapping[str, Latest], cursor: Cursor, now_ms: int) -> int:
        """Put the links of a page of gateways into the graph; returns in how many parts."""
        edges = snapshot.edges(states.values(), now_ms)
        parts = snapshot.pack(edges, cursor.segment, cursor.until_ms, cursor.page)
        self.store.put_plainly(parts)
        return len(parts)

    # --- what came late ---------------------------------------------------------------------------

    def _late(self, now_ms: int, patience: Patience, segment: int, segments: int) -> None:
        for shard in range(MARK_SHARDS):
            if shard % segments != segment:
                continue
            marks = {f"{mark.gateway} {mark.hour_ms}": mark for mark in self.store.marks(shard)}
            self._all(list(marks), partial(self._repair, marks, now_ms), patience)

    def _repair(self, marks: Mapping[str, Mark], now_ms: int, name: str) -> None:
        """Recompute all that the hour of a mark is in, then remove the mark."""
        mark = marks[name]
        end_ms = mark.hour_ms + HOUR_MS
        if end_ms > closed(now_ms):
            return
        if mark.hour_ms < now_ms - self.settings.window_days * DAY_MS:
            self._count("RollupBeyondWindow")
            self.store.clear(mark)
            return
        self._roll(mark.gateway, mark.hour_ms, end_ms, MAX_SPAN_MS, now_ms)
        # Twice the hour from its parts costs little; a cursor says nothing about what a mark makes.
        self._combine(mark.gateway, HOUR, mark.hour_ms, end_ms)
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
