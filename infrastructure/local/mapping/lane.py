"""One ordered sequence of batches of a shard: when a batch is due, and what follows its result. No effects.

With a parallelization factor of n a shard has n lanes and a partition key always goes to the same one:
"If you increase the number of concurrent batches per shard, Lambda still ensures in-order processing at
the partition-key level" (Lambda developer guide, with-kinesis).
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from infrastructure.local.function.invocation import Result
from infrastructure.local.mapping.retry import (
    Backoff,
    Batch,
    Condition,
    Decision,
    Discard,
    Rules,
    decide,
    outdated,
)
from infrastructure.local.mapping.stream import Record

PAYLOAD_LIMIT = 6 * 1024 * 1024 - len('{"Records": []}')
"""Bytes of records in one event (Lambda quotas: 6 MB for a synchronous invocation)."""


@dataclass(frozen=True, slots=True)
class Batching:
    """When a batch is complete."""

    size: int
    """Records."""
    window_s: float
    payload_bytes: int = PAYLOAD_LIMIT


@dataclass(frozen=True, slots=True)
class Send:
    """Invoke the function with this batch, then settle it."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is due before this instant of the monotonic clock, or before a record comes when None."""

    until_s: float | None


Step = Send | Discard | Wait


def lane_of(partition_key: str, lanes: int) -> int:
    """The lane of a partition key, the same in every process."""
    return (
        int.from_bytes(hashlib.md5(partition_key.encode(), usedforsecurity=False).digest()[:8], "big") % lanes
    )


class Lane:
    """Records waiting and the batches made of them, first in first out."""

    def __init__(
        self,
        batching: Batching,
        rules: Rules,
        backoff: Backoff,
        size_of: Callable[[Record], int],
        now_s: float,
    ) -> None:
        self._batching = batching
        self._rules = rules
        self._backoff = backoff
        self._size_of = size_of
        self._queue: deque[tuple[Record, int]] = deque()
        self._queued_bytes = 0
        self._work: deque[Batch] = deque()
        self._window_end_s = now_s + batching.window_s
        self._resume_s = now_s
        self._refusals = 0

    def offer(self, record: Record, now_s: float) -> None:
        """Append a record that was read."""
        if not self._queue and now_s > self._window_end_s and self._batching.window_s > 0:
            # Windows follow one another; the empty ones that have passed are skipped.
            missed = math.ceil((now_s - self._window_end_s) / self._batching.window_s)
            self._window_end_s += missed * self._batching.window_s
        size = self._size_of(record)
        self._queue.append((record, size))
        self._queued_bytes += size

    def next(self, wall_ms: int, now_s: float) -> Step:
        """What is due now. A Discard has left the lane; a Send stays until it is settled or refused."""
        if not self._work:
            due_s = self._due_s(now_s)
            if due_s is None or now_s < due_s:
                return Wait(due_s)
            self._work.append(Batch(self._take()))
        head = self._work[0]
        late = outdated(head.records, wall_ms, self._rules.maximum_age_ms)
        if late:
            return self._give_up(head, late, now_s)
        if now_s < self._resume_s:
            return Wait(self._resume_s)
        return Send(head)

    def settle(self, batch: Batch, result: Result, now_s: float) -> Decision:
        """Apply the result of a batch that was sent."""
        assert batch is self._work[0], "only the first batch of a lane is ever sent"
        decision = decide(batch, result, self._rules)
        self._work.popleft()
        self._work.extendleft(reversed(decision.again))
        self._refusals = 0
        failures = decision.again[0].invocations if decision.again else 0
        self._resume_s = now_s + self._backoff.delay_s(failures)
        self._begin_window(now_s)
        return decision

    def refuse(self, now_s: float) -> None:
        """The batch did not reach the function: it is sent again later, as often as needed."""
        self._refusals += 1
        self._resume_s = now_s + self._backoff.delay_s(self._refusals)

    @property
    def waiting(self) -> int:
        """Records that are in no batch yet."""
        return len(self._queue)

    @property
    def waiting_bytes(self) -> int:
        """What those records take in events."""
        return self._queued_bytes

    @property
    def last_arrival_ms(self) -> int | None:
        """Arrival of the last record of the batch in hand, else of the batch that would be next."""
        if self._work:
            return self._work[0].records[-1].arrival_ms
        if self._queue:
            return self._queue[min(len(self._queue), self._batching.size) - 1][0].arrival_ms
        return None

    def _due_s(self, now_s: float) -> float | None:
        if not self._queue:
            return None
        full = len(self._queue) >= self._batching.size or self._queued_bytes >= self._batching.payload_bytes
        return now_s if full else self._window_end_s

    def _take(self) -> tuple[Record, ...]:
        taken: list[Record] = []
        room = self._batching.payload_bytes
        while self._queue and len(taken) < self._batching.size:
            record, size = self._queue[0]
            if taken and size > room:
                break
            self._queue.popleft()
            self._queued_bytes -= size
            room -= size
            taken.append(record)
        return tuple(taken)

    def _give_up(self, head: Batch, late: int, now_s: float) -> Discard:
        self._work.popleft()
        rest = head.records[late:]
        if rest:
            self._work.appendleft(replace(head, records=rest))
        self._begin_window(now_s)
        return Discard(head.records[:late], Condition.AGE, head.invocations)

    def _begin_window(self, now_s: float) -> None:
        if not self._work:
            self._window_end_s = now_s + self._batching.window_s
