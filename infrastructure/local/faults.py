"""Faults on request: which there are, how often each comes, and the dice that decide.

Every fault is one that AWS documents as ordinary: delivery at least once at each hop, throttling, server
errors, batches that are taken in part, functions that are ended by their time limit or die.
"""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from infrastructure.local.function.invocation import Counting

PREFIX = "fault."
"""What the names of the faults' counters begin with."""


class FaultError(Exception):
    """A rate that cannot be understood; the message says why."""


class Fault(StrEnum):
    """The faults, by the name that the command line and the counters use."""

    RECORD_TWICE = "record-twice"
    RECORD_LATE = "record-late"
    RECORDS_SHUFFLED = "records-shuffled"
    RECORD_REFUSED = "record-refused"
    REPEATED = "invocation-repeated"
    REFUSED = "invocation-refused"
    CRASH = "crash"
    TIMEOUT = "timeout"
    THROTTLED = "throttled"
    SERVER_ERROR = "server-error"
    ANSWER_LOST = "answer-lost"
    UNPROCESSED = "unprocessed"


MEANING: Mapping[Fault, str] = {
    Fault.RECORD_TWICE: "records put on the stream twice",
    Fault.RECORD_LATE: "records held back for seconds",
    Fault.RECORDS_SHUFFLED: "puts whose records were shuffled",
    Fault.RECORD_REFUSED: "records that the stream refused at first",
    Fault.REPEATED: "old batches handed to the function again",
    Fault.REFUSED: "invocations that were throttled",
    Fault.CRASH: "function processes killed while they worked",
    Fault.TIMEOUT: "invocations ended by the time limit",
    Fault.THROTTLED: "DynamoDB calls throttled",
    Fault.SERVER_ERROR: "DynamoDB calls answered with 500",
    Fault.ANSWER_LOST: "DynamoDB calls whose answer was lost",
    Fault.UNPROCESSED: "DynamoDB batches processed in part",
}

DEFAULT_RATES: Mapping[Fault, float] = {
    Fault.RECORD_TWICE: 0.03,
    Fault.RECORD_LATE: 0.08,
    Fault.RECORDS_SHUFFLED: 0.05,
    Fault.RECORD_REFUSED: 0.01,
    Fault.REPEATED: 0.05,
    Fault.REFUSED: 0.02,
    Fault.CRASH: 0.05,
    Fault.TIMEOUT: 0.02,
    Fault.THROTTLED: 0.01,
    Fault.SERVER_ERROR: 0.01,
    Fault.ANSWER_LOST: 0.01,
    Fault.UNPROCESSED: 0.05,
}


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """What is injected: the seed of the dice and the rate (0 to 1) of each fault."""

    seed: int
    rates: Mapping[Fault, float] = field(default_factory=lambda: DEFAULT_RATES)

    @classmethod
    def parse(cls, seed: int, given: Iterable[str]) -> FaultPlan:
        """The default rates with some replaced by NAME=RATE, `all` being every name; raises FaultError."""
        rates = dict(DEFAULT_RATES)
        for text in given:
            name, _, number = text.partition("=")
            rates.update(dict.fromkeys(_named(name), _rate(text, number)))
        return cls(seed, rates)


def _named(name: str) -> list[Fault]:
    if name == "all":
        return list(Fault)
    try:
        return [Fault(name)]
    except ValueError:
        known = ", ".join(Fault)
        raise FaultError(f"there is no fault {name!r}; there is all, {known}") from None


def _rate(text: str, number: str) -> float:
    try:
        rate = float(number)
    except ValueError:
        rate = -1.0
    if not 0 <= rate <= 1:
        raise FaultError(f"{text!r} is not NAME=RATE with a rate from 0 to 1")
    return rate


@dataclass(slots=True)
class _Sequence:
    """When one fault comes: random, never twice as rare as its rate for long."""

    numbers: random.Random
    rate: float
    left: float = 0.0
    """Throws until it is due."""

    def __post_init__(self) -> None:
        self.left = self.numbers.uniform(0, self._longest) if self.rate else math.inf

    @property
    def _longest(self) -> float:
        return 2 / self.rate - 1

    def throw(self) -> bool:
        """Whether it is due now."""
        due = self.left < 1
        self.left += (self.numbers.uniform(1, self._longest) if due else 0) - 1
        return due


class Dice:
    """Decides when a fault comes, and counts those that came; safe for threads.

    From one to the next of a fault there are 1 to 2 / rate - 1 throws, all equally likely: a short run that
    throws often enough meets each fault for certain, which independent throws do not give.

    Each fault has its own sequence of numbers, so another rate for one does not change when the others
    come. With several threads it is their order that decides which call meets which number.
    """

    def __init__(self, plan: FaultPlan, counters: Counting) -> None:
        self._counters = counters
        self._lock = threading.Lock()
        self._sequences = {
            fault: _Sequence(random.Random(f"{plan.seed}/{fault}"), plan.rates[fault]) for fault in Fault
        }
        self._choices = random.Random(f"{plan.seed}/choices")

    def falls(self, fault: Fault) -> bool:
        """Whether this fault is due now; it counts as injected when it is."""
        due = self.threatens(fault)
        if due:
            self.count(fault)
        return due

    def threatens(self, fault: Fault) -> bool:
        """As `falls`, for a fault that is counted when it comes about."""
        with self._lock:
            return self._sequences[fault].throw()

    def count(self, fault: Fault) -> None:
        """Note that a fault came about."""
        self._counters.add(f"{PREFIX}{fault}")

    def below(self, bound: int) -> int:
        """A number from 0 to bound - 1, for where and how much."""
        with self._lock:
            return self._choices.randrange(bound)

    def between(self, least: float, most: float) -> float:
        """A number between two, for how long."""
        with self._lock:
            return self._choices.uniform(least, most)


def injected(counters: Mapping[str, int]) -> dict[str, int]:
    """How many of each fault, by what it means; in the order of the way from gateway to table."""
    return {MEANING[fault]: counters.get(f"{PREFIX}{fault}", 0) for fault in Fault}
