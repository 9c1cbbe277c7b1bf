"""Records put back into the stream by hand, through PutRecords, until it has taken each of them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError, ParamValidationError

from cloud.target import Target, TargetError, failures

MAX_RECORDS = 500
MAX_BYTES = 5 << 20
"""Of one call, partition keys included (Kinesis API reference, PutRecords: 500 records, 5 MiB)."""
TRIES = 8
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One record for the stream; all of one gateway have its name as partition key, as the rule does it."""

    partition_key: str
    data: bytes

    @property
    def size(self) -> int:
        """Bytes that count against the limit of a call."""
        return len(self.data) + len(self.partition_key.encode())


def put(
    target: Target,
    entries: Sequence[Entry],
    sleep: Callable[[float], None] = time.sleep,
    jitter: Callable[[], float] = random.random,
) -> None:
    """Put all entries, in order within a call; raises TargetError when some were not taken after TRIES.

    "A single record failure does not stop the processing of subsequent records" (PutRecords): those that
    failed are put again, so some may be in the stream when it raises, and again after the next try.
    """
    for batch in batches(entries):
        pending, reason = batch, ""
        for tries in range(TRIES):
            if tries:
                sleep(jitter() * min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * float(2**tries)))
            pending, reason = _put(target, pending)
            if not pending:
                break
        else:
            raise TargetError(f"the stream of {target.place} does not take {len(pending)} records: {reason}")


def _put(target: Target, entries: Sequence[Entry]) -> tuple[list[Entry], str]:
    """One call; what the stream did not take, and why."""
    records = [{"Data": each.data, "PartitionKey": each.partition_key} for each in entries]
    with failures(target):
        answers: list[dict[str, Any]] = target.client("kinesis").put_records(
            StreamName=target.output("StreamName"), Records=records
        )["Records"]
    left = [entry for entry, answer in zip(entries, answers, strict=True) if answer.get("ErrorCode")]
    return left, next((str(answer["ErrorCode"]) for answer in answers if answer.get("ErrorCode")), "")


def is_refusal(error: TargetError) -> bool:
    """Whether the stream will never take it: the request is at fault (PutRecords, "Errors")."""
    cause = error.__cause__
    if isinstance(cause, ClientError):
        return cause.response["Error"].get("Code") in ("InvalidArgumentException", "ValidationException")
    return isinstance(cause, ParamValidationError)


def batches(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """The entries in order, cut to what one call takes."""
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        if batch and (len(batch) == MAX_RECORDS or size + entry.size > MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += entry.size
    if batch:
        yield batch
