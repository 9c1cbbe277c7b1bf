"""DynamoDB in memory, as far as the functions ask it: a million readings in minutes, not hours.

It is held to the same cases as moto (tests/cloud/test_audit_tables.py); what it does not know it refuses.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from botocore.exceptions import ClientError

Item = dict[str, Any]
WRITES, READS = 25, 100
"""Members of BatchWriteItem and BatchGetItem at most (DynamoDB API reference)."""
PAGE_BYTES = 1 << 20
"""A query or scan gives so much, then a key to go on from (API reference, Query)."""
_ATOM = re.compile(
    r"(?:attribute_not_exists\((?P<absent>[#\w]+)\)|(?P<left>[#\w]+) (?P<how><=|=) (?P<right>:\w+))"
)
_RANGE = re.compile(r"p = (:\w+)(?: AND s BETWEEN (:\w+) AND (:\w+))?")
_UPDATE = re.compile(r"SET (\w+) = (:\w+)|REMOVE (\w+)")


def error(operation: str, code: str, message: str = "") -> ClientError:
    """The error that a client raises."""
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


@dataclass(slots=True)
class Table:
    """Items by partition and sort key; a table without sort keys has "" everywhere."""

    keys: tuple[str, ...]
    partitions: dict[str, dict[str, Item]] = field(default_factory=dict)
    _sorted: dict[str, list[str]] = field(default_factory=dict)

    def place(self, given: Mapping[str, Any]) -> tuple[str, str]:
        """(partition, sort) of an item or a key."""
        names = [given[name]["S"] for name in self.keys]
        return names[0], names[1] if len(names) > 1 else ""

    def get(self, place: tuple[str, str]) -> Item | None:
        """The item there."""
        return self.partitions.get(place[0], {}).get(place[1])

    def put(self, item: Item) -> None:
        """Put an item in place of what is there."""
        partition, sort = self.place(item)
        own = self.partitions.setdefault(partition, {})
        if sort not in own:
            self._sorted.pop(partition, None)
        own[sort] = dict(item)

    def delete(self, place: tuple[str, str]) -> None:
        """Remove the item there."""
        if self.partitions.get(place[0], {}).pop(place[1], None) is not None:
            self._sorted.pop(place[0], None)

    def sorts(self, partition: str) -> list[str]:
        """The sort keys of a partition in order."""
        if partition not in self._sorted:
            self._sorted[partition] = sorted(self.partitions.get(partition, ()))
        return self._sorted[partition]

    def items(self) -> Iterator[Item]:
        """All items."""
        for own in self.partitions.values():
            yield from own.values()


class Tables:
    """A client of DynamoDB, by the operations and expressions that are in use; one thread at a time."""

    def __init__(self, tables: Mapping[str, tuple[str, ...]]) -> None:
        """Tables by name, each with its key attributes."""
        self.tables = {name: Table(keys) for name, keys in tables.items()}

    def get_item(self, TableName: str, Key: Item, ConsistentRead: bool = False) -> Item:
        found = self.tables[TableName].get(self.tables[TableName].place(Key))
        return {} if found is None else {"Item": dict(found)}

    def put_item(self, TableName: str, Item: Item, **condition: Any) -> Item:
        table = self.tables[TableName]
        self._check("PutItem", table.get(table.place(Item)), condition)
        table.put(Item)
        return {}

    def delete_item(self, TableName: str, Key: Item, **condition: Any) -> Item:
        table = self.tables[TableName]
        self._check("DeleteItem", table.get(table.place(Key)), condition)
        table.delete(table.place(Key))
        return {}

    def update_item(self, TableName: str, Key: Item, UpdateExpression: str, **condition: Any) -> Item:
        table = self.tables[TableName]
        before = table.get(table.place(Key))
        self._check("UpdateItem", before, condition)
        found = _UPDATE.fullmatch(UpdateExpression)
        if found is None:
            raise error("UpdateItem", "ValidationException", UpdateExpression)
        item = dict(before or Key)
        if found[1]:
            item[found[1]] = condition["ExpressionAttributeValues"][found[2]]
        else:
            item.pop(found[3], None)
        table.put(item)
        return {}

    def batch_write_item(self, RequestItems: Mapping[str, list[Item]]) -> Item:
        given = [
            (self.tables[name], each["PutRequest"]["Item"])
            for name in RequestItems
            for each in RequestItems[name]
        ]
        places = [(id(table), table.place(item)) for table, item in given]
        if not 0 < len(given) <= WRITES or len(set(places)) < len(places):
            raise error("BatchWriteItem", "ValidationException", "too many, or one twice")
        for table, item in given:
            table.put(item)
        return {"UnprocessedItems": {}}

    def batch_get_item(self, RequestItems: Mapping[str, Item]) -> Item:
        if not 0 < sum(len(asked["Keys"]) for asked in RequestItems.values()) <= READS:
            raise error("BatchGetItem", "ValidationException", "too many")
        found: dict[str, list[Item]] = {}
        for name, asked in RequestItems.items():
            table = self.tables[name]
            items = [table.get(table.place(key)) for key in asked["Keys"]]
            found[name] = [dict(item) for item in items if item is not None]
        return {"Responses": found, "UnprocessedKeys": {}}

    def query(
        self,
        TableName: str,
        KeyConditionExpression: str,
        ExpressionAttributeValues: Item,
        ConsistentRead: bool = False,
        ExclusiveStartKey: Item | None = None,
    ) -> Item:
        asked = _RANGE.fullmatch(KeyConditionExpression)
        if asked is None:
            raise error("Query", "ValidationException", KeyConditionExpression)
        table = self.tables[TableName]
        partition, low, high = (
            ExpressionAttributeValues[name]["S"] if name else "" for name in asked.groups()
        )
        sorts = table.sorts(partition)
        first = bisect_left(sorts, low)
        if ExclusiveStartKey:
            first = max(first, bisect_right(sorts, table.place(ExclusiveStartKey)[1]))
        end = bisect_right(sorts, high) if high else len(sorts)
        own = table.partitions.get(partition, {})
        return _page(table, [own[sort] for sort in sorts[first:end]])

    def scan(
        self,
        TableName: str,
        Limit: int | None = None,
        ConsistentRead: bool = False,
        ExclusiveStartKey: Item | None = None,
        Segment: int = 0,
        TotalSegments: int = 1,
    ) -> Item:
        table = self.tables[TableName]
        places = sorted(
            (_hash(partition), partition, sort)
            for partition in table.partitions
            for sort in table.sorts(partition)
        )
        if ExclusiveStartKey:
            partition, sort = table.place(ExclusiveStartKey)
            places = places[bisect_right(places, (_hash(partition), partition, sort)) :]
        own = [place for place in places if place[0] % TotalSegments == Segment]
        return _page(table, [table.partitions[partition][sort] for _, partition, sort in own], Limit)

    def _check(self, operation: str, item: Item | None, given: Mapping[str, Any]) -> None:
        text = given.get("ConditionExpression")
        if text is None:
            return
        names, values = given.get("ExpressionAttributeNames", {}), given.get("ExpressionAttributeValues", {})
        terms = (
            all(_holds(atom, item or {}, names, values) for atom in term.split(" AND "))
            for term in text.split(" OR ")
        )
        if not any([*terms]):
            raise error(operation, "ConditionalCheckFailedException", "The conditional request failed")


def _holds(text: str, item: Item, names: Mapping[str, str], values: Item) -> bool:
    atom = _ATOM.fullmatch(text)
    if atom is None:
        raise error("Condition", "ValidationException", text)
    if atom["absent"]:
        return names.get(atom["absent"], atom["absent"]) not in item
    found, wanted = item.get(names.get(atom["left"], atom["left"])), values[atom["right"]]
    if found is None:
        return False
    ((kind, value),), ((asked, against),) = found.items(), wanted.items()
    if atom["how"] == "=":
        return bool(kind == asked and value == against)
    return kind == asked == "N" and int(value) <= int(against)


def _page(table: Table, items: list[Item], limit: int | None = None) -> Item:
    given: list[Item] = []
    size = 0
    for item in items:
        if size >= PAGE_BYTES or len(given) == limit:
            break
        given.append(dict(item))
        size += sum(len(value) for each in item.values() for value in each.values())
    page: Item = {"Items": given}
    # As DynamoDB: after a limit there may be a key though nothing follows.
    if len(given) < len(items) or (limit and len(given) == limit):
        page["LastEvaluatedKey"] = {name: given[-1][name] for name in table.keys}
    return page


def _hash(partition: str) -> int:
    return crc32(partition.encode())
