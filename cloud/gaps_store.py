"""The items of gaps in the readings table: read, and changed under their revision."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from cloud import gaps_item
from cloud.dynamo import ConditionError, TransientError, attempt
from cloud.gaps_item import Stored
from cloud.gaps_state import Gaps

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

TRIES = 5
"""Others change the same item at the same time rarely: a second pass, or somebody who asks by hand."""


class GapStore:
    """Reads and writes gaps through one client; raises what ``cloud.dynamo.attempt`` does, and GapsError."""

    def __init__(self, client: DynamoDBClient, table: str, keep_days: int) -> None:
        # Requests are built as plain values, so the client's request types do not apply.
        self._client = cast(Any, client)
        self._table = table
        self._keep_days = keep_days

    def get(self, gateway: str) -> Stored:
        """What is stored of a gateway; nothing is a first revision to be."""
        request = {"TableName": self._table, "Key": gaps_item.key(gateway), "ConsistentRead": True}
        item = attempt(lambda: self._client.get_item(**request)).get("Item")
        return gaps_item.parse(item) if item else Stored(Gaps(gateway), 0)

    def change(self, gateway: str, change: Callable[[Gaps], Gaps], now_ms: int) -> Gaps:
        """Apply a change, again to what another has saved meanwhile; returns what is stored then.

        A change that changes nothing writes nothing. ``change`` is called again when it was overtaken.
        """
        for _ in range(TRIES):
            stored = self.get(gateway)
            made = change(stored.gaps)
            if made == stored.gaps:
                return made
            try:
                self._put(Stored(made, stored.revision + 1), stored.revision, now_ms)
            except ConditionError:
                continue
            return made
        raise TransientError(f"the gaps of {gateway} were changed {TRIES} times meanwhile")

    def _put(self, stored: Stored, expected: int, now_ms: int) -> None:
        request: dict[str, Any] = {
            "TableName": self._table,
            "Item": gaps_item.pack(stored, now_ms, self._keep_days),
            "ConditionExpression": "#r = :r" if expected else "attribute_not_exists(#r)",
            "ExpressionAttributeNames": {"#r": gaps_item.REVISION},
        }
        if expected:
            request["ExpressionAttributeValues"] = {":r": {"N": str(expected)}}
        attempt(lambda: self._client.put_item(**request))
