"""A stream that takes records twice, late, in another order, or only at the second try.

AWS IoT delivers messages of QoS 1 at least once and not always in order, and a PutRecords answer may name
records that were not taken (https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html).
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import BotoCoreError, ClientError

from infrastructure.local.faults import Dice, Fault
from infrastructure.local.worker import Worker

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

log = logging.getLogger(__name__)

LATEST_S = 8.0
"""Longest time that a record is held back."""
CHECK_S = 0.1
MAX_RECORDS = 500
TAKEN = {"SequenceNumber": "0", "ShardId": "held-back"}
THROTTLED = {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "injected"}

Record = dict[str, Any]


class FaultyStream:
    """Stands before a Kinesis client for PutRecords."""

    def __init__(self, kinesis: KinesisClient, dice: Dice, latest_s: float = LATEST_S) -> None:
        self._kinesis = cast(Any, kinesis)
        self._dice = dice
        self._latest_s = latest_s
        self._lock = threading.Lock()
        self._order = itertools.count()
        self._held: list[tuple[float, int, str, Record]] = []
        self._stopping = threading.Event()
        self._worker = Worker("held-back", self._run)

    def start(self) -> None:
        """Begin to deliver what is held back."""
        self._worker.start()

    def stop(self) -> None:
        """Deliver all that is still held back, and end."""
        self._stopping.set()
        self._worker.join(10.0)

    def failure(self) -> str:
        """What ended it; empty while it works."""
        return self._worker.failure()

    @property
    def held(self) -> int:
        """Records that are held back now."""
        with self._lock:
            return len(self._held)

    def put_records(self, *, StreamName: str, Records: list[Record]) -> dict[str, Any]:
        """As Kinesis: an answer for each record; what is held back counts as taken. Raises as boto3 does."""
        answers: list[Record] = [dict(TAKEN) for _ in Records]
        at_once: list[tuple[int, Record]] = []
        for place, record in enumerate(Records):
            if self._dice.falls(Fault.RECORD_REFUSED):
                answers[place] = dict(THROTTLED)
                continue
            if self._dice.falls(Fault.RECORD_TWICE):
                self._hold(StreamName, record, self._dice.between(0.0, self._latest_s))
            if self._dice.falls(Fault.RECORD_LATE):
                self._hold(StreamName, record, self._dice.between(0.0, self._latest_s))
            else:
                at_once.append((place, record))
        self._put(StreamName, at_once, answers)
        return {"FailedRecordCount": sum("ErrorCode" in each for each in answers), "Records": answers}

    def _put(self, stream: str, entries: list[tuple[int, Record]], answers: list[Record]) -> None:
        if not entries:
            return
        if len(entries) > 1 and self._dice.falls(Fault.RECORDS_SHUFFLED):
            for place in range(len(entries) - 1, 0, -1):
                other = self._dice.below(place + 1)
                entries[place], entries[other] = entries[other], entries[place]
        answer = self._kinesis.put_records(StreamName=stream, Records=[record for _, record in entries])
        for (place, _), result in zip(entries, answer["Records"], strict=True):
            answers[place] = result

    def _hold(self, stream: str, record: Record, seconds: float) -> None:
        with self._lock:
            heapq.heappush(self._held, (time.monotonic() + seconds, next(self._order), stream, record))

    def _run(self) -> None:
        while not self._stopping.wait(CHECK_S):
            self._deliver(time.monotonic())
        self._deliver(float("inf"))

    def _deliver(self, now_s: float) -> None:
        """Put what is due; what the stream does not take is due again."""
        due: dict[str, list[Record]] = {}
        with self._lock:
            while self._held and self._held[0][0] <= now_s:
                _, _, stream, record = heapq.heappop(self._held)
                due.setdefault(stream, []).append(record)
        for stream, records in due.items():
            for at in range(0, len(records), MAX_RECORDS):
                for record in self._refused(stream, records[at : at + MAX_RECORDS]):
                    self._hold(stream, record, CHECK_S)

    def _refused(self, stream: str, records: list[Record]) -> list[Record]:
        try:
            answer = self._kinesis.put_records(StreamName=stream, Records=records)
        except (BotoCoreError, ClientError) as exc:
            log.warning("records that were held back are not taken yet: %s", exc)
            return records
        results = zip(records, answer["Records"], strict=True)
        return [record for record, result in results if result.get("ErrorCode")]
