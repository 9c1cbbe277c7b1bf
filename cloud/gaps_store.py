"""The items of gaps in the readings table: read, and changed under their revision."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from cloud import gaps_item
from cloud.dynamo import ConditionError, TransientError, attempt
from cloud.gaps_item import GapsError, Stored
from cloud.gaps_state import Gaps
from cloud.keys import Item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

TRIES = 5
"""Others change the same item at the same time rarely: a second pass, or somebody who asks by hand."""
KEYS_IN_BATCH = 100
"""BatchGetItem takes at most so many (DynamoDB API reference)."""


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

    def read(self, gateways: Sequence[str]) -> Iterator[Gaps | GapsError]:
        """What is stored of some gateways, those without an item left out; an error for an unreadable one."""
        for at in range(0, len(gateways), KEYS_IN_BATCH):
            pending: list[Item] = [gaps_item.key(name) for name in gateways[at : at + KEYS_IN_BATCH]]
            for _ in range(TRIES):
                items, pending = self._read(pending)
                for item in items:
                    try:
                        yield gaps_item.parse(item).gaps
                    except GapsError as exc:
                        yield exc
                if not pending:
                    break
            else:
                raise TransientError(f"{len(pending)} gaps were not given")

    def _read(self, wanted: Sequence[Item]) -> tuple[list[Item], list[Item]]:
        """One BatchGetItem; items, and the keys that it left unprocessed."""
        request = {self._table: {"Keys": wanted, "ConsistentRead": True}}
        answer = attempt(lambda: self._client.batch_get_item(RequestItems=request))
        left = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
        return answer["Responses"].get(self._table, []), left
