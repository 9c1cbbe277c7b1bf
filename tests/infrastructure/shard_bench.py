"""A poller of a shard and all that it touches, in memory."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from infrastructure.local.function.invocation import Outcome, Result
from infrastructure.local.mapping.clock import SystemClock
from infrastructure.local.mapping.failure import DestinationError
from infrastructure.local.mapping.lane import Batching
from infrastructure.local.mapping.progress import Progress
from infrastructure.local.mapping.retry import Backoff, Discard, Rules
from infrastructure.local.mapping.shard import ShardPlan, ShardPoller
from infrastructure.local.mapping.stream import Origin, Record, StreamUnavailableError
from infrastructure.local.state import Counters

ORIGIN = Origin("arn:aws:kinesis:us-east-1:000000000000:stream/s", "us-east-1", "arn:aws:iam::0:role/r")
QUICK = Backoff(0.01, 0.05)
PATIENCE_S = 30.0


class ShardInMemory:
    """A shard that a test appends to and can make unreadable."""

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._place = 0
        self.gone = False
        self.closed = False

    @property
    def ended(self) -> bool:
        return self.closed and self._place == len(self._records)

    def put(self, key: str, data: str) -> None:
        number = str(len(self._records) + 1)
        self._records.append(Record("shard-0", number, key, data.encode(), time.time_ns() // 1_000_000))

    def read(self, limit: int) -> list[Record]:
        if self.gone:
            raise StreamUnavailableError("the engine is gone")
        found = self._records[self._place : self._place + limit]
        self._place += len(found)
        return found


class Recorder:
    """A function that notes what it gets and answers as the test says."""

    def __init__(self, answer: Callable[[list[str]], Any] = lambda _: None) -> None:
        self._answer = answer
        self._lock = threading.Lock()
        self.batches: list[list[str]] = []

    def invoke(self, event: Mapping[str, Any]) -> Result:
        data = [base64.b64decode(each["kinesis"]["data"]).decode() for each in event["Records"]]
        with self._lock:
            self.batches.append(data)
        answer = self._answer(data)
        if isinstance(answer, Exception):
            return Result(Outcome.ERROR, "request", error_type=type(answer).__name__)
        return Result(Outcome.SUCCESS, "request", answer)

    @property
    def seen(self) -> list[str]:
        return [each for batch in self.batches for each in batch]


class Shelf:
    """An on-failure destination in memory."""

    def __init__(self, refusals: int = 0) -> None:
        self.discards: list[Discard] = []
        self._refusals = refusals

    def put(self, discard: Discard, at_ms: int) -> None:
        if self._refusals:
            self._refusals -= 1
            raise DestinationError("bucket is full")
        self.discards.append(discard)


class Bench:
    """A poller and all that it touches."""

    def __init__(self) -> None:
        self.shard = ShardInMemory()
        self.shelf = Shelf()
        self.counters = Counters()
        self.progress = Progress()
        self.poller: ShardPoller | None = None

    def start(
        self, function: Any, lanes: int = 1, size: int = 10, window_s: float = 0.0, rules: Rules | None = None
    ) -> ShardPoller:
        plan = ShardPlan(lanes, Batching(size, window_s), rules or Rules(True, True), QUICK, ORIGIN)
        clock = SystemClock()
        self.poller = ShardPoller(
            "shard-0", self.shard, plan, function, self.shelf, self.counters, clock, self.progress
        )
        self.poller.start()
        return self.poller


def until(reached: Callable[[], bool]) -> None:
    """Wait for a state; its absence is what fails, not the time that it takes."""
    deadline = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < deadline, "not reached"
        time.sleep(0.005)
