"""Records that a mapping gives up: the invocation record that Lambda writes to an S3 destination.

Shape and key follow "Example Amazon S3 invocation record" (Lambda guide, kinesis-on-failure-destination).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from infrastructure.local.mapping.retry import Discard
from infrastructure.local.mapping.stream import Origin, event

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


ATTEMPTS = 5
"""How often a discard is tried to be kept."""


class DestinationError(Exception):
    """An object could not be written; the message says why."""


class Destination(Protocol):
    """Where discarded records go."""

    def put(self, discard: Discard, at_ms: int) -> None:
        """Keep one discard. Raises DestinationError."""


def keep(
    destination: Destination | None,
    discard: Discard,
    wall_ms: Callable[[], int],
    pause: Callable[[int], bool],
) -> str:
    """Keep a discard in the on-failure destination; why that was not possible, empty when it was.

    pause waits before another attempt, given how many have failed, and says whether to go on.
    """
    if destination is None:
        return "the mapping has no on-failure destination"
    lost = ""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            destination.put(discard, wall_ms())
            return ""
        except DestinationError as exc:
            lost = str(exc)
        if not pause(attempt):
            break
    return lost


def object_key(mapping: str, shard_id: str, at_ms: int, random: uuid.UUID) -> str:
    """The key of an invocation record: aws/lambda/<mapping>/<shard>/YYYY/MM/DD/<time>-<random>, in UTC."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return f"aws/lambda/{mapping}/{shard_id}/{at:%Y/%m/%d}/{at:%Y-%m-%dT%H.%M.%S}-{random}"


def invocation_record(
    discard: Discard, origin: Origin, function_arn: str, at_ms: int, random: uuid.UUID
) -> dict[str, Any]:
    """The document of one discard, its records included as the string `payload`."""
    first, last = discard.records[0], discard.records[-1]
    record: dict[str, Any] = {
        "requestContext": {
            "requestId": discard.last.request_id if discard.last else str(random),
            "functionArn": function_arn,
            "condition": discard.condition.value,
            "approximateInvokeCount": discard.invocations,
        },
        "version": "1.0",
        "timestamp": _instant(at_ms),
        "KinesisBatchInfo": {
            "shardId": first.shard_id,
            "startSequenceNumber": first.sequence_number,
            "endSequenceNumber": last.sequence_number,
            "approximateArrivalOfFirstRecord": _instant(first.arrival_ms),
            "approximateArrivalOfLastRecord": _instant(last.arrival_ms),
            "batchSize": len(discard.records),
            "streamArn": origin.stream_arn,
        },
        "payload": json.dumps(event(discard.records, origin)),
    }
    if discard.last:
        record["responseContext"] = {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": None if discard.last.succeeded else "Unhandled",
        }
    return record


def _instant(at_ms: int) -> str:
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class FailureBucket:
    """The S3 bucket that discarded records go to."""

    def __init__(
        self, client: S3Client, bucket: str, mapping: str, origin: Origin, function_arn: str
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._mapping = mapping
        self._origin = origin
        self._function_arn = function_arn

    def put(self, discard: Discard, at_ms: int) -> None:
        """Write one invocation record. Raises DestinationError."""
        random = uuid.uuid4()
        key = object_key(self._mapping, discard.records[0].shard_id, at_ms, random)
        body = json.dumps(invocation_record(discard, self._origin, self._function_arn, at_ms, random))
        try:
            self._client.put_object(
                Bucket=self._bucket, Key=key, Body=body.encode(), ContentType="application/json"
            )
        except (ClientError, BotoCoreError) as exc:
            raise DestinationError(f"bucket {self._bucket}: {exc}") from exc
