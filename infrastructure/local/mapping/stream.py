"""The stream as the mapping reads it: records, shards and their iterators, over boto3's Kinesis client."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

GET_RECORDS_LIMIT = 10_000
"""Records that one GetRecords may return (Kinesis API reference, GetRecords)."""
PARENTS = ("ParentShardId", "AdjacentParentShardId")


class StreamUnavailableError(Exception):
    """The stream cannot be read now; the message says why."""


class IteratorExpiredError(Exception):
    """The position in the shard must be looked up again."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a shard."""

    shard_id: str
    sequence_number: str
    """Decimal digits; compare as integers, the lengths may differ."""
    partition_key: str
    data: bytes
    arrival_ms: int
    """Approximate arrival in the stream, milliseconds since 1970."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What the records of an event say about where they come from."""

    stream_arn: str
    region: str
    role_arn: str


def event(records: Sequence[Record], origin: Origin) -> dict[str, Any]:
    """The event of a batch, in the shape of "Example Kinesis record event" (Lambda guide, with-kinesis)."""
    return {"Records": [event_record(record, origin) for record in records]}


def event_record(record: Record, origin: Origin) -> dict[str, Any]:
    """One member of an event's Records."""
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": record.partition_key,
            "sequenceNumber": record.sequence_number,
            "data": base64.b64encode(record.data).decode("ascii"),
            "approximateArrivalTimestamp": record.arrival_ms / 1000,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{record.shard_id}:{record.sequence_number}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": origin.role_arn,
        "awsRegion": origin.region,
        "eventSourceARN": origin.stream_arn,
    }


def event_sizer(origin: Origin) -> Callable[[Record], int]:
    """A function giving the bytes that a record takes in an event: never too few, and without encoding it."""
    blank = Record("", "", "", b"", 10**14 + 1)
    frame = len(json.dumps(event_record(blank, origin))) + len(", ")

    def size(record: Record) -> int:
        data = 4 * ((len(record.data) + 2) // 3)
        identity = len(record.shard_id) + 2 * len(record.sequence_number)
        return frame + data + identity + len(json.dumps(record.partition_key))

    return size


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard and those that it came from: one by a split, two by a merge, none at the stream's creation."""

    shard_id: str
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """What a stream says about itself that matters to its reader."""

    retention_s: int
    created_ms: int


class ShardSource(Protocol):
    """One shard, read forward."""

    def read(self, limit: int) -> list[Record]:
        """The next records in order, none when there are none now.

        Raises StreamUnavailableError, after which it may be called again.
        """

    @property
    def ended(self) -> bool:
        """Whether the shard is closed and read to its end."""


class Stream:
    """One Kinesis stream."""

    def __init__(self, client: KinesisClient, name: str) -> None:
        self._client = client
        self.name = name

    def facts(self) -> StreamFacts:
        """Retention and age of the stream. Raises StreamUnavailableError."""
        with _translated(self.name):
            answer = self._client.describe_stream_summary(StreamName=self.name)
        summary = answer["StreamDescriptionSummary"]
        created_ms = round(summary["StreamCreationTimestamp"].timestamp() * 1000)
        return StreamFacts(summary["RetentionPeriodHours"] * 3600, created_ms)

    def shards(self) -> list[Shard]:
        """Every shard that still has records or may get some. Raises StreamUnavailableError."""
        with _translated(self.name):
            listed = self._client.list_shards(StreamName=self.name)["Shards"]
        return [
            Shard(each["ShardId"], tuple(filter(None, map(each.get, PARENTS))))  # type: ignore[arg-type]
            for each in listed
        ]

    def iterator(self, shard_id: str, **position: Any) -> str:
        """A shard iterator; position as in GetShardIterator. Raises StreamUnavailableError."""
        with _translated(self.name):
            answer = self._client.get_shard_iterator(StreamName=self.name, ShardId=shard_id, **position)
        return answer["ShardIterator"]

    def records(self, shard_id: str, iterator: str, limit: int) -> tuple[list[Record], str | None]:
        """Records and the iterator after them, None at the end of a closed shard.

        Raises StreamUnavailableError, IteratorExpiredError.
        """
        with _translated(self.name):
            answer = self._client.get_records(ShardIterator=iterator, Limit=min(limit, GET_RECORDS_LIMIT))
        records = [
            Record(
                shard_id,
                each["SequenceNumber"],
                each["PartitionKey"],
                each["Data"],
                round(each["ApproximateArrivalTimestamp"].timestamp() * 1000),
            )
            for each in answer["Records"]
        ]
        return records, answer.get("NextShardIterator")


class KinesisShard:
    """One shard of a stream, read forward from a position that survives iterators."""

    def __init__(
        self,
        stream: Stream,
        shard_id: str,
        starting_position: str,
        after: str | None,
        wall_ms: Callable[[], int],
        facts: StreamFacts,
    ) -> None:
        self._stream = stream
        self._shard_id = shard_id
        self._starting_position = starting_position
        self._after = after
        self._wall_ms = wall_ms
        self._started_ms = wall_ms()
        self._facts = facts
        self._iterator: str | None = None
        self.ended = False
        """Whether the shard is closed and read to its end."""

    def open(self) -> None:
        """Fix the starting position; LATEST is the instant of this call. Raises StreamUnavailableError."""
        if self._after is None and self._starting_position == "LATEST":
            self._iterator = self._stream.iterator(self._shard_id, ShardIteratorType="LATEST")

    def read(self, limit: int) -> list[Record]:
        """The next records in order. Raises StreamUnavailableError."""
        if self.ended:
            return []
        iterator = self._iterator
        if iterator is None or self._may_have_shifted():
            iterator = self._stream.iterator(self._shard_id, **self._position())
        try:
            records, following = self._stream.records(self._shard_id, iterator, limit)
        except IteratorExpiredError:
            self._iterator = None
            return []
        self._iterator = following
        self.ended = following is None
        if records:
            self._after = records[-1].sequence_number
        return records

    def _position(self) -> dict[str, Any]:
        """Where to go on when there is no iterator: after what was read, else the starting position."""
        if self._after is not None:
            return {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": self._after}
        if self._starting_position == "LATEST":
            started = datetime.fromtimestamp(self._started_ms / 1000, UTC)
            return {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": started}
        return {"ShardIteratorType": "TRIM_HORIZON"}

    def _may_have_shifted(self) -> bool:
        """Whether the engine may have trimmed records under our iterator.

        ministack's iterators count records from the oldest one kept, so each one it trims would make
        them skip a new one. Nothing is trimmed before the stream is as old as its retention.
        """
        return self._wall_ms() - self._facts.created_ms >= self._facts.retention_s * 1000


@contextmanager
def _translated(stream: str) -> Iterator[None]:
    try:
        yield
    except ClientError as exc:
        error = exc.response.get("Error", {})
        if error.get("Code") == "ExpiredIteratorException":
            raise IteratorExpiredError(stream) from exc
        raise StreamUnavailableError(f"stream {stream}: {error.get('Message', exc)}") from exc
    except BotoCoreError as exc:
        raise StreamUnavailableError(f"stream {stream}: {exc}") from exc
