"""DynamoDB in a dictionary, for what the rollup pass asks of it: a hundred times as fast as moto.

It knows the requests of the pass, its gaps and its telling, and refuses every other one;
test_rollup_reading.py runs a fleet through it and through moto and compares the tables.
"""

from __future__ import annotations

import operator
import re
import zlib
from threading import Lock
from typing import Any

from botocore.exceptions import ClientError

KEYS = {
    "readings": ("p", "s"),
    "latest": ("gateway",),
    "registry": ("p", "s"),
    "quarantine": ("p", "s"),
}
PAGE = 7
"""Items in an answer: whoever reads must ask again."""
_COMPARED = {"=": operator.eq, "<=": operator.le}
_BETWEEN = "p = :p AND s BETWEEN :low AND :high"


class Memory:
    """The client, with the four tables of a stack, empty."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[tuple[str, ...], Any]] = {name: {} for name in KEYS}
        self._lock = Lock()

    def put_item(self, TableName: str, Item: Any, **conditions: Any) -> Any:
        with self._lock:
            _check("PutItem", self._tables[TableName].get(_key(TableName, Item)), **conditions)
            self._tables[TableName][_key(TableName, Item)] = dict(Item)
        return {}

    def delete_item(self, TableName: str, Key: Any, **conditions: Any) -> Any:
        with self._lock:
            _check("DeleteItem", self._tables[TableName].get(_key(TableName, Key)), **conditions)
            self._tables[TableName].pop(_key(TableName, Key), None)
        return {}

    def update_item(self, TableName: str, Key: Any, UpdateExpression: str, **conditions: Any) -> Any:
        change = re.fullmatch(r"SET (\w+) = (:\w+)|REMOVE (\w+)", UpdateExpression)
        assert change, f"this update is not known here: {UpdateExpression}"
        with self._lock:
            item = self._tables[TableName].get(_key(TableName, Key), dict(Key))
            _check("UpdateItem", item, **conditions)
            changed = {name: value for name, value in item.items() if name != change[3]}
            if change[1]:
                changed[change[1]] = conditions["ExpressionAttributeValues"][change[2]]
            self._tables[TableName][_key(TableName, Key)] = changed
        return {}

    def get_item(self, TableName: str, Key: Any, ConsistentRead: bool) -> Any:
        assert ConsistentRead
        found = self._tables[TableName].get(_key(TableName, Key))
        return {"Item": dict(found)} if found else {}

    def scan(
        self,
        TableName: str,
        Limit: int = 10_000,
        ConsistentRead: bool = True,
        ExclusiveStartKey: Any = None,
        Segment: int = 0,
        TotalSegments: int = 1,
    ) -> Any:
        assert ConsistentRead
        keys = [key for key in self._tables[TableName] if _hash(key[0]) % TotalSegments == Segment]
        return self._page(TableName, keys, ExclusiveStartKey, Limit)

    def query(
        self,
        TableName: str,
        KeyConditionExpression: str,
        ExpressionAttributeValues: Any,
        ConsistentRead: bool,
        ExclusiveStartKey: Any = None,
    ) -> Any:
        assert ConsistentRead
        assert KeyConditionExpression in ("p = :p", _BETWEEN)
        given = {name: value["S"] for name, value in ExpressionAttributeValues.items()}
        low, high = given.get(":low", ""), given.get(":high", "\U0010ffff")
        keys = [key for key in self._tables[TableName] if key[0] == given[":p"] and low <= key[1] <= high]
        return self._page(TableName, keys, ExclusiveStartKey, PAGE)

    def _page(self, table: str, keys: list[tuple[str, ...]], start: Any, limit: int) -> Any:
        after = _key(table, start) if start else ("",)
        left = sorted(key for key in keys if key > after)
        answer: dict[str, Any] = {"Items": [dict(self._tables[table][key]) for key in left[:limit]]}
        if left[limit:]:
            last = zip(KEYS[table], left[limit - 1], strict=True)
            answer["LastEvaluatedKey"] = {name: {"S": value} for name, value in last}
        return answer


def _key(table: str, item: Any) -> tuple[str, ...]:
    return tuple(item[name]["S"] for name in KEYS[table])


def _hash(text: str) -> int:
    return zlib.crc32(text.encode())


def _check(
    operation: str,
    item: Any,
    ConditionExpression: str = "",
    ExpressionAttributeNames: Any = None,
    ExpressionAttributeValues: Any = None,
) -> None:
    """Raise what DynamoDB answers when the condition does not hold."""
    if ConditionExpression and not any(
        _holds(item or {}, each, ExpressionAttributeNames, ExpressionAttributeValues)
        for each in ConditionExpression.split(" OR ")
    ):
        raise ClientError({"Error": {"Code": "ConditionalCheckFailedException"}}, operation)


def _holds(item: Any, term: str, names: Any, values: Any) -> bool:
    if missing := re.fullmatch(r"attribute_not_exists\((#\w)\)", term):
        return names[missing[1]] not in item
    compared = re.fullmatch(r"([#\w]+) (=|<=) (:\w+)", term)
    assert compared, f"this condition is not known here: {term}"
    found = item.get((names or {}).get(compared[1], compared[1]))
    return found is not None and _COMPARED[compared[2]](_value(found), _value(values[compared[3]]))


def _value(typed: Any) -> Any:
    ((kind, value),) = typed.items()
    return int(value) if kind == "N" else value
