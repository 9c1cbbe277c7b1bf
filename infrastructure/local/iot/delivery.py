"""Brings records onto the stream, as the rule's Kinesis action and its error action would."""

from __future__ import annotations

import base64
import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from infrastructure.local.iot.rule import Publication
from infrastructure.local.iot.topic_rule import TopicRule
from infrastructure.local.state import Counters

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")

MAX_RECORDS = 500
MAX_BYTES = 5_000_000
"""Of one PutRecords call: 500 records, 5 MiB with partition keys (Kinesis API reference, PutRecords)."""
MAX_ATTEMPTS = 6
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0


class Stopped(Exception):
    """Asked to stop while the engine could not be reached; nothing of the batch is acknowledged."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One message and the record that the rule made of it."""

    publication: Publication
    partition_key: str
    data: bytes

    @property
    def size(self) -> int:
        """Bytes that count against the limit of a call."""
        return len(self.data) + len(self.partition_key.encode())


class Delivery:
    """Delivers batches; returns only when each record is on the stream or in the error action's bucket."""

    def __init__(
        self, kinesis: KinesisClient, s3: S3Client, counters: Counters, stopping: threading.Event
    ) -> None:
        self._kinesis = kinesis
        self._s3 = s3
        self._counters = counters
        self._stopping = stopping

    def deliver(self, rule: TopicRule, entries: Sequence[Entry]) -> None:
        """Put the records, those that fail again, and what cannot be put into the bucket."""
        sound = []
        for entry in entries:
            if 1 <= len(entry.partition_key) <= 256:
                sound.append(entry)
            else:
                self._fail(rule, entry, "the partition key is not 1 to 256 characters long")
        for batch in batches(sound):
            self._deliver_batch(rule, batch)

    def _deliver_batch(self, rule: TopicRule, batch: list[Entry]) -> None:
        reasons: dict[int, str] = {}
        for attempt in range(MAX_ATTEMPTS):
            if attempt:
                self._pause(attempt)
            failed = self._put(rule.stream, batch)
            self._counters.add("bridge.forwarded", len(batch) - len(failed))
            if not failed:
                return
            batch, reasons = [batch[index] for index in failed], dict(enumerate(failed.values()))
        for index, entry in enumerate(batch):
            self._fail(rule, entry, reasons[index])

    def _put(self, stream: str, batch: list[Entry]) -> dict[int, str]:
        """Put once; the reason for each index that failed."""
        records = [{"Data": entry.data, "PartitionKey": entry.partition_key} for entry in batch]
        try:
            answer = self._reach(lambda: self._kinesis.put_records(StreamName=stream, Records=records))  # type: ignore[arg-type]
        except ClientError as exc:
            return dict.fromkeys(range(len(batch)), str(exc))
        return {
            index: f"{record['ErrorCode']}: {record.get('ErrorMessage', '')}"
            for index, record in enumerate(answer["Records"])
            if record.get("ErrorCode")
        }

    def _fail(self, rule: TopicRule, entry: Entry, reason: str) -> None:
        log.warning(
            "a message on %s did not reach stream %s: %s", entry.publication.topic, rule.stream, reason
        )
        self._counters.add("bridge.failed")
        if rule.errors is None:
            return
        key = rule.errors.key.render(entry.publication)
        body = error_message(rule, entry.publication, reason)
        bucket = rule.errors.bucket
        try:
            self._reach(lambda: self._s3.put_object(Bucket=bucket, Key=key, Body=body))
        except ClientError as exc:
            self._counters.add("bridge.error_action_failed")
            log.error(
                "a message on %s is lost, the error action failed too: %s", entry.publication.topic, exc
            )

    def _reach(self, call: Callable[[], Answer]) -> Answer:
        """Call the engine; while it cannot be reached wait, since the broker still holds the messages."""
        attempt = 0
        while True:
            try:
                return call()
            except ClientError:
                raise
            except BotoCoreError as exc:
                attempt += 1
                if attempt == 1:
                    log.warning("the engine cannot be reached, trying again: %s", exc)
                self._pause(attempt)

    def _pause(self, attempt: int) -> None:
        if self._stopping.wait(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**attempt)):
            raise Stopped


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


def error_message(rule: TopicRule, publication: Publication, reason: str) -> bytes:
    """What an error action is given (AWS IoT developer guide, "Error action message format")."""
    return json.dumps(
        {
            "ruleName": rule.name,
            "topic": rule.prefix + publication.topic,
            "clientId": publication.client,
            "base64OriginalPayload": base64.b64encode(publication.payload).decode(),
            "failures": [
                {"failedAction": "KinesisAction", "failedResource": rule.stream, "errorMessage": reason}
            ],
        }
    ).encode()
