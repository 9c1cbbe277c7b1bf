"""What the rollup pass reads and writes: chunks, rollups, marks, cursor and graph, through one client."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from cloud import chunk, keys, latest, rollup_cursor, rollup_item, rollup_marks
from cloud.buckets import Step
from cloud.dynamo import ConditionError, attempt
from cloud.keys import Item
from cloud.latest import Latest
from cloud.rollup_cursor import Cursor
from cloud.rollup_item import Rollup, RollupError
from cloud.rollup_marks import Mark
from edge_agent.contract import GATEWAY_PATTERN, Batch, ContractError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient


@dataclass(frozen=True, slots=True)
class Page:
    """Latest items of some gateways."""

    items: tuple[Item, ...]
    after: str
    """The key to go on after; "" at the end."""

    @property
    def gateways(self) -> list[str]:
        """Their names; a key that no gateway can have is of something else."""
        names = (str(item[keys.LATEST_KEY]["S"]) for item in self.items)
        return [name for name in names if GATEWAY_PATTERN.fullmatch(name)]

    def states(self) -> dict[str, Latest]:
        """By gateway the states that can be read."""
        found = {}
        for item in self.items:
            with suppress(ContractError, ValueError, KeyError):
                state = latest.parse(item)
                found[state.gateway] = state
        return found


class RollupStore:
    """The tables, as the rollup pass needs them; raises what ``cloud.dynamo.attempt`` does."""

    def __init__(self, client: DynamoDBClient, readings_table: str, latest_table: str) -> None:
        # Requests are built as plain values, so the client's request types do not apply.
        self._client = cast(Any, client)
        self._readings = readings_table
        self._latest = latest_table

    def gateways(self, after: str, limit: int, segment: int, segments: int) -> Page:
        """Up to ``limit`` latest items of a segment, after a gateway."""
        request: dict[str, Any] = {"TableName": self._latest, "Limit": limit, "ConsistentRead": True}
        if segments > 1:
            request |= {"Segment": segment, "TotalSegments": segments}
        if after:
            request["ExclusiveStartKey"] = {keys.LATEST_KEY: {"S": after}}
        found = attempt(lambda: self._client.scan(**request))
        last = found.get("LastEvaluatedKey", {})
        return Page(tuple(found["Items"]), last.get(keys.LATEST_KEY, {}).get("S", ""))

    def batches(self, gateway: str, since_ms: int, until_ms: int, slack_ms: int) -> tuple[list[Batch], int]:
        """Stored batches that may have readings in [since, until), and how many cannot be read.

        Those that begin up to ``slack_ms`` before it are looked for.
        """
        found, unreadable = [], 0
        for place in keys.chunk_ranges(gateway, since_ms, until_ms - 1, slack_ms):
            for item in self._range(*place):
                try:
                    found.append(chunk.parse(item))
                except ContractError:
                    unreadable += 1
        return found, unreadable

    def rollups(self, gateway: str, step: Step, since_ms: int, until_ms: int) -> tuple[list[Rollup], int]:
        """The rollups of periods that start in [since, until), and how many cannot be read."""
        found, unreadable = [], 0
        for place in keys.rollup_ranges(gateway, step.name, since_ms, until_ms):
            for item in self._range(*place):
                try:
                    found.append(rollup_item.parse(item))
                except RollupError:
                    unreadable += 1
        return found, unreadable

    def put(self, rollup: Rollup, keep_days: int) -> bool:
        """Put a rollup unless one of more chunks is there; says whether it was put.

        Chunks only come, within their time to live: of two rollups of a period the one of more chunks
        knows all that the other knows, whichever was made last.
        """
        try:
            self._put(rollup_item.pack(rollup, keep_days), keys.CHUNKS, rollup.chunks)
        except ConditionError:
            return False
        return True

    def marks(self, shard: int) -> list[Mark]:
        """The marks of a shard."""
        items = self._query("p = :p", {":p": {"S": keys.mark_partition(shard)}})
        return [rollup_marks.parse(item) for item in items]

    def clear(self, mark: Mark) -> None:
        """Remove a mark, unless it was put again since it was read."""
        key = {
            keys.PARTITION: {"S": keys.mark_partition(keys.mark_shard(mark.gateway))},
            keys.SORT: {"S": keys.mark_sort(mark.gateway, mark.hour_ms)},
        }
        with suppress(ConditionError):
            attempt(
                lambda: self._client.delete_item(
                    TableName=self._readings,
                    Key=key,
                    ConditionExpression="#t = :t",
                    ExpressionAttributeNames={"#t": keys.TOKEN},
                    ExpressionAttributeValues={":t": {"S": mark.token}},
                )
            )

    def cursors(self) -> list[Cursor]:
        """The cursors of all passes."""
        items = self._query("p = :p", {":p": {"S": keys.CURSOR_PARTITION}})
        return [rollup_cursor.parse(item) for item in items]

    def save(self, cursor: Cursor) -> Cursor:
        """Save a cursor as its next revision; raises ConditionError when another pass saved it meanwhile."""
        saved = replace(cursor, revision=cursor.revision + 1)
        self._put(rollup_cursor.pack(saved), "rev", cursor.revision)
        return saved

    def put_plainly(self, items: Sequence[Item]) -> None:
        """Put items into the readings table, whatever is there."""
        for item in items:
            self._put(item)

    def _put(self, item: Item, version: str = "", at_most: int = 0) -> None:
        request: dict[str, Any] = {"TableName": self._readings, "Item": item}
        if version:
            request |= {
                "ConditionExpression": "attribute_not_exists(#v) OR #v <= :v",
                "ExpressionAttributeNames": {"#v": version},
                "ExpressionAttributeValues": {":v": {"N": str(at_most)}},
            }
        attempt(lambda: self._client.put_item(**request))

    def _range(self, partition: str, low: str, high: str) -> Iterator[Item]:
        values = {":p": {"S": partition}, ":low": {"S": low}, ":high": {"S": high}}
        return self._query("p = :p AND s BETWEEN :low AND :high", values)

    def _query(self, condition: str, values: Item) -> Iterator[Item]:
        request: dict[str, Any] = {
            "TableName": self._readings,
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": values,
            # An eventually consistent read may miss the chunk whose mark was just found.
            "ConsistentRead": True,
        }
        while True:
            page = attempt(lambda: self._client.query(**request))
            yield from page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]
