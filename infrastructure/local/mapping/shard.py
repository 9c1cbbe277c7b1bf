"""The threads of one shard: one reads it, one per lane invokes the function."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from infrastructure.local.function.invocation import Counting, Function, NotInvokedError
from infrastructure.local.mapping.clock import Clock
from infrastructure.local.mapping.failure import Destination, keep
from infrastructure.local.mapping.lane import Batching, Lane, Send, Wait, lane_of
from infrastructure.local.mapping.progress import Progress
from infrastructure.local.mapping.retry import Backoff, Batch, Discard, Rules
from infrastructure.local.mapping.stream import (
    Origin,
    Record,
    ShardSource,
    StreamUnavailableError,
    event,
    event_sizer,
)

log = logging.getLogger(__name__)

POLL_S = 0.15
BUFFERED_BATCHES = 2
"""Batches per lane that may wait; beyond, the shard is not read."""


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """How the records of a shard are handed over."""

    lanes: int
    batching: Batching
    rules: Rules
    backoff: Backoff
    origin: Origin


class ShardPoller:
    """Reads one shard and hands its records over until it is stopped."""

    def __init__(
        self,
        name: str,
        source: ShardSource,
        plan: ShardPlan,
        function: Function,
        destination: Destination | None,
        counters: Counting,
        clock: Clock,
        progress: Progress,
        on_finished: Callable[[], None] = lambda: None,
    ) -> None:
        """on_finished is called once, when the shard is closed and all of it is completed."""
        self._name = name
        self._source = source
        self._plan = plan
        self._function = function
        self._destination = destination
        self._counters = counters
        self._clock = clock
        self._progress = progress
        self._on_finished = on_finished
        self._finished = threading.Event()
        now_s = clock.monotonic()
        size_of = event_sizer(plan.origin)
        self._lanes = [
            Lane(plan.batching, plan.rules, plan.backoff, size_of, now_s) for _ in range(plan.lanes)
        ]
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the threads."""
        jobs: list[Callable[[], None]] = [self._read_on]
        jobs += [partial(self._work_on, lane) for lane in self._lanes]
        self._threads = [
            threading.Thread(target=job, name=f"{self._name}-{number}", daemon=True)
            for number, job in enumerate(jobs)
        ]
        for thread in self._threads:
            thread.start()

    def ask_to_stop(self) -> None:
        """Let every thread end after what it is doing."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()

    def join(self, timeout_s: float) -> bool:
        """Wait for the threads; whether all have ended in time."""
        deadline_s = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    @property
    def alive(self) -> bool:
        """Whether every thread runs, or has come to the end of the shard."""
        return self.finished or all(thread.is_alive() for thread in self._threads)

    @property
    def finished(self) -> bool:
        """Whether the shard is closed, and every record of it completed."""
        return self._finished.is_set()

    @property
    def outstanding(self) -> int:
        """Records read and not yet covered by the checkpoint."""
        with self._changed:
            return self._progress.outstanding

    def iterator_age_ms(self) -> int:
        """Age of the last record of the oldest batch in hand, 0 when there is none."""
        with self._changed:
            arrivals = [lane.last_arrival_ms for lane in self._lanes]
        known = [arrival for arrival in arrivals if arrival is not None]
        return max(0, self._clock.wall_ms() - min(known)) if known else 0

    def _read_on(self) -> None:
        failures = 0
        while not self._stopping.is_set() and not self._source.ended:
            room = self._room()
            if not room:
                continue
            try:
                records = self._source.read(room)
            except StreamUnavailableError as exc:
                failures += 1
                if failures == 1:
                    log.warning("%s cannot be read, trying again: %s", self._name, exc)
                self._stopping.wait(max(POLL_S, self._plan.backoff.delay_s(failures)))
                continue
            if failures:
                log.info("%s can be read again", self._name)
                failures = 0
            self._distribute(records)
            if not records and not self._source.ended:
                self._stopping.wait(POLL_S)
        # The thread stays for as long as its records are in the lanes, so that its death means a fault.
        while not self._stopping.is_set() and not self._all_done():
            with self._changed:
                self._changed.wait(POLL_S)

    def _all_done(self) -> bool:
        """Whether nothing is left of a closed shard; tells whoever waits for it."""
        if self.outstanding:
            return False
        self._finished.set()
        with self._changed:
            self._changed.notify_all()
        self._on_finished()
        return True

    def _room(self) -> int:
        """How many records may be read; waits a little when it is less than a batch."""
        batching = self._plan.batching
        most = BUFFERED_BATCHES * self._plan.lanes
        with self._changed:
            room = most * batching.size - sum(lane.waiting for lane in self._lanes)
            full = sum(lane.waiting_bytes for lane in self._lanes) >= most * batching.payload_bytes
            if room >= batching.size and not full:
                return room
            if not self._stopping.is_set():
                self._changed.wait(POLL_S)
        return 0

    def _distribute(self, records: Sequence[Record]) -> None:
        if not records:
            return
        self._counters.add("stream.read", len(records))
        now_s = self._clock.monotonic()
        with self._changed:
            for record in records:
                self._progress.begin(record)
                self._lanes[lane_of(record.partition_key, len(self._lanes))].offer(record, now_s)
            self._changed.notify_all()

    def _work_on(self, lane: Lane) -> None:
        while not self._stopping.is_set() and not self.finished:
            with self._changed:
                step = lane.next(self._clock.wall_ms(), self._clock.monotonic())
                if isinstance(step, Wait):
                    self._pause(step)
                    continue
                self._changed.notify_all()  # the reader may have room now
            if isinstance(step, Send):
                self._send(lane, step.batch)
            else:
                self._give_up(step)

    def _pause(self, step: Wait) -> None:
        """Sleep, with the lock held as Condition.wait requires, until the lane may have something to do."""
        if self._stopping.is_set() or self.finished:
            return
        pause_s = None if step.until_s is None else max(0.0, step.until_s - self._clock.monotonic())
        self._changed.wait(pause_s)

    def _send(self, lane: Lane, batch: Batch) -> None:
        try:
            result = self._function.invoke(event(batch.records, self._plan.origin))
        except NotInvokedError as exc:
            log.debug("%s: %s", self._name, exc)
            with self._changed:
                lane.refuse(self._clock.monotonic())
            return
        self._counters.add("mapping.invocations")
        if batch.repeated:
            self._counters.add("mapping.retries")
        with self._changed:
            decision = lane.settle(batch, result, self._clock.monotonic())
            self._progress.complete(decision.acknowledged)
        if decision.acknowledged:
            self._counters.add("mapping.records", len(decision.acknowledged))
        if decision.discard:
            self._give_up(decision.discard)

    def _give_up(self, discard: Discard) -> None:
        lost = keep(self._destination, discard, self._clock.wall_ms, self._pause_before)
        if lost and self._stopping.is_set():
            return  # the checkpoint stays before them, so the next start hands them over again
        log.log(
            logging.ERROR if lost else logging.WARNING,
            "%s: %d records from %s given up (%s)%s",
            self._name,
            len(discard.records),
            discard.records[0].sequence_number,
            discard.condition,
            f" and NOT kept: {lost}" if lost else "",
        )
        self._counters.add("mapping.discarded", len(discard.records))
        with self._changed:
            self._progress.complete(discard.records)

    def _pause_before(self, attempt: int) -> bool:
        """Wait before another attempt; False when stopping."""
        return not self._stopping.wait(self._plan.backoff.delay_s(attempt))
