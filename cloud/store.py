"""The only writer of readings: chunks and quarantine; every write is idempotent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from cloud import keys
from cloud.dynamo import Outcome, Patience, RefusedError, TransientError, attempt
from cloud.keys import Item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

WRITES_IN_BATCH = 25
"""BatchWriteItem takes at most so many (DynamoDB API reference)."""
OVER = "no time is left"


@dataclass(frozen=True, slots=True)
class Write:
    """An item for a table, and the sequence number of the stream's record that it comes from."""

    table: str
    item: Item
    sequence: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What the write replaces."""
        return _key(self.table, self.item)


def _key(table: str, item: Item) -> tuple[str, str, str]:
    return table, item[keys.PARTITION]["S"], item[keys.SORT]["S"]


class Store:
    """Writes through one DynamoDB client."""

    def __init__(self, client: DynamoDBClient) -> None:
        # Requests are built as plain values, so the client's request types do not apply.
        self._client = cast(Any, client)

    def put(self, writes: Sequence[Write], patience: Patience) -> Outcome:
        """Put items unconditionally; of several with one key only the first, which is the same item."""
        distinct = {write.key: write for write in reversed(writes)}
        outcome, reasons = Outcome(), {}

        def once(pending: list[Write]) -> list[Write]:
            left: list[Write] = []
            for at in range(0, len(pending), WRITES_IN_BATCH):
                group = pending[at : at + WRITES_IN_BATCH]
                missed, reason = self._put_group(group, outcome) if patience.remains() else (group, OVER)
                reasons.update({write.key: reason for write in missed})
                left += missed
            return left

        for write in patience.rounds(list(reversed(distinct.values())), once):
            outcome.failed[write.sequence] = reasons.get(write.key, OVER)
        return outcome

    def _put_group(self, writes: list[Write], outcome: Outcome) -> tuple[list[Write], str]:
        """Put as many as one call takes; returns what failed for now, and why."""
        try:
            return self._put_batch(writes), "unprocessed items are left"
        except TransientError as exc:
            return writes, str(exc)
        except RefusedError:
            # One item spoils the whole call, which does not say which one.
            return self._put_singly(writes, outcome), "failed beside a refused item"

    def _put_batch(self, writes: Sequence[Write]) -> list[Write]:
        """One BatchWriteItem; returns what it left unprocessed."""
        requests: dict[str, list[Item]] = {}
        for write in writes:
            requests.setdefault(write.table, []).append({"PutRequest": {"Item": write.item}})
        response = attempt(lambda: self._client.batch_write_item(RequestItems=requests))
        left = {
            _key(table, request["PutRequest"]["Item"])
            for table, unprocessed in response.get("UnprocessedItems", {}).items()
            for request in unprocessed
        }
        return [write for write in writes if write.key in left]

    def _put_singly(self, writes: Iterable[Write], outcome: Outcome) -> list[Write]:
        """Put one by one; returns what failed for now."""
        left = []
        for write in writes:
            try:
                self._put_item(write)
            except RefusedError as exc:
                outcome.refused[write.sequence] = str(exc)
            except TransientError:
                left.append(write)
        return left

    def _put_item(self, write: Write) -> None:
        attempt(lambda: self._client.put_item(TableName=write.table, Item=write.item))
