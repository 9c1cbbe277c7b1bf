"""What becomes of a batch after an invocation: the documented rules of stream mappings, without effects.

The statements are those of the Lambda developer guide, pages services-kinesis-batchfailurereporting
and kinesis-on-failure-destination; the tests quote them one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from infrastructure.local.function.invocation import Result
from infrastructure.local.mapping.stream import Record

UNLIMITED = -1


class Condition(StrEnum):
    """Why records were given up, as the on-failure destination names it."""

    RETRIES = "RetryAttemptsExhausted"
    AGE = "RecordAgeExceeded"
    """Not in the guide's examples; seen in invocation records of the real service."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The error handling of a mapping."""

    report_batch_item_failures: bool
    bisect: bool
    maximum_retry_attempts: int = UNLIMITED
    maximum_age_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive records of a lane that go to the function together."""

    records: tuple[Record, ...]
    invocations: int = 0
    """How often these very records were handed over, less those that a split took away."""
    repeated: bool = False
    """Whether the function has seen them before."""


@dataclass(frozen=True, slots=True)
class Discard:
    """Records that will not be handed over again."""

    records: tuple[Record, ...]
    condition: Condition
    invocations: int
    last: Result | None = None
    """What came back from the last invocation, None when there was none."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do after an invocation; the three parts together are the batch."""

    acknowledged: tuple[Record, ...] = ()
    again: tuple[Batch, ...] = ()
    discard: Discard | None = None


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses before a batch is sent again: doubling, up to a maximum.

    AWS says that retries back off but gives no figures, so these are ours. A split is sent at once:
    it is another batch.
    """

    initial_s: float = 0.5
    maximum_s: float = 30.0

    def delay_s(self, failures: int) -> float:
        """The pause after so many failures in a row, 0 before the first."""
        if failures < 1:
            return 0.0
        doublings = min(failures - 1, 32)
        return min(self.maximum_s, self.initial_s * float(2**doublings))


def processed(records: Sequence[Record], result: Result, report_batch_item_failures: bool) -> int:
    """How many leading records the result acknowledges: all, none, or up to the first reported failure."""
    if not result.succeeded:
        return 0
    if not report_batch_item_failures:
        return len(records)
    failures = _item_failures(result.payload)
    if failures is None:
        return 0
    places = {record.sequence_number: place for place, record in enumerate(records)}
    if any(identifier not in places for identifier in failures):
        return 0
    return min((places[identifier] for identifier in failures), default=len(records))


def _item_failures(payload: Any) -> list[str] | None:
    """The reported sequence numbers, None when the response is malformed."""
    if payload in (None, "", [], {}):
        return []
    if not isinstance(payload, dict):
        return None
    items = payload.get("batchItemFailures")
    if items is None:
        return []
    if not isinstance(items, list):
        return None
    identifiers = [item.get("itemIdentifier") if isinstance(item, dict) else None for item in items]
    named = [identifier for identifier in identifiers if isinstance(identifier, str) and identifier]
    return named if len(named) == len(items) else None


def decide(batch: Batch, result: Result, rules: Rules) -> Decision:
    """Acknowledge, split, send again or give up."""
    done = processed(batch.records, result, rules.report_batch_item_failures)
    good, left = batch.records[:done], batch.records[done:]
    if not left:
        return Decision(good)
    if rules.bisect and (good or len(left) > 1):
        return Decision(good, _split(left, whole=bool(good)))
    invocations = batch.invocations + 1
    if rules.maximum_retry_attempts != UNLIMITED and invocations > rules.maximum_retry_attempts:
        return Decision(good, discard=Discard(left, Condition.RETRIES, invocations, result))
    return Decision(good, (Batch(left, invocations, repeated=True),))


def _split(left: tuple[Record, ...], whole: bool) -> tuple[Batch, ...]:
    """The new batches of a bisection: cut at the reported number already, or in two halves."""
    if whole:
        return (Batch(left, repeated=True),)
    middle = (len(left) + 1) // 2
    return (Batch(left[:middle], repeated=True), Batch(left[middle:], repeated=True))


def outdated(records: Sequence[Record], wall_ms: int, maximum_age_ms: int | None) -> int:
    """How many leading records are older than the maximum age."""
    if maximum_age_ms is None:
        return 0
    oldest_ms = wall_ms - maximum_age_ms
    fresh = (place for place, record in enumerate(records) if record.arrival_ms >= oldest_ms)
    return next(fresh, len(records))
