"""The gaps of many gateways, read for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from cloud import gaps_item
from cloud.dynamo import TransientError, attempt
from cloud.gaps_item import GapsError
from cloud.gaps_state import Gaps
from cloud.keys import Item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

KEYS_IN_READ = 100
"""BatchGetItem takes at most so many (DynamoDB API reference)."""
TRIES = 5


def read(client: DynamoDBClient, table: str, gateways: Sequence[str]) -> Iterator[Gaps | GapsError]:
    """What is stored of some gateways, those without an item left out; an error for an unreadable one.

    Raises what ``cloud.dynamo.attempt`` does.
    """
    for at in range(0, len(gateways), KEYS_IN_READ):
        pending: list[Item] = [gaps_item.key(name) for name in gateways[at : at + KEYS_IN_READ]]
        for _ in range(TRIES):
            items, pending = _read(client, table, pending)
            for item in items:
                try:
                    yield gaps_item.parse(item).gaps
                except GapsError as exc:
                    yield exc
            if not pending:
                break
        else:
            raise TransientError(f"{len(pending)} gaps were not given")


def _read(client: DynamoDBClient, table: str, wanted: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """One BatchGetItem; items, and the keys that it left unprocessed."""
    request: Any = {table: {"Keys": wanted, "ConsistentRead": True}}
    answer = cast(Any, attempt(lambda: client.batch_get_item(RequestItems=request)))
    left = answer.get("UnprocessedKeys", {}).get(table, {}).get("Keys", [])
    return answer["Responses"].get(table, []), left
