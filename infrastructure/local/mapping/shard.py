"""The threads of one shard: one reads it, one per lane invokes the function."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from infrastructure.local.function.invocation import Counting, Function, NotInvokedError
from infrastructure.local.mapping.clock import Clock
from infrastructure.local.mapping.failure import DestinationError
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
DESTINATION_ATTEMPTS = 5
BUFFERED_BATCHES = 2
"""Batches per lane that may wait; beyond, the shard is not read."""


class Destination(Protocol):
    """Where discarded records go."""

    def put(self, discard: Discard, at_ms: int) -> None:
        """Keep one discard. Raises DestinationError."""


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
    ) -> None:
        self._name = name
        self._source = source
        self._plan = plan
        self._function = function
        self._destination = destination
        self._counters = counters
        self._clock = clock
        self._progress = progress
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
        """Whether every thread runs."""
        return all(thread.is_alive() for thread in self._threads)

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
        while not self._stopping.is_set():
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
            if not records:
                self._stopping.wait(POLL_S)

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
        while not self._stopping.is_set():
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
        if self._stopping.is_set():
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
        lost = self._deliver(discard)
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

    def _deliver(self, discard: Discard) -> str:
        """Keep a discard in the on-failure destination; why that was not possible, empty when it was."""
        if self._destination is None:
            return "the mapping has no on-failure destination"
        lost = ""
        for attempt in range(1, DESTINATION_ATTEMPTS + 1):
            try:
                self._destination.put(discard, self._clock.wall_ms())
                return ""
            except DestinationError as exc:
                lost = str(exc)
            if self._stopping.wait(self._plan.backoff.delay_s(attempt)):
                break
        return lost
