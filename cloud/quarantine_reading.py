"""The quarantine as values: a day's records from all partitions of the day, newest first."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from cloud import keys, poison
from cloud.keys import Item
from cloud.poison import Quarantined, QuarantineError
from cloud.target import Target, TargetError, failures

COUNTED = 100_000
"""Quarantined records of a day that are counted at most; the figure is a minimum then."""
T = TypeVar("T")
_READERS = 8
"""Partitions read at once, below botocore's 10 connections."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Some records of a day, newest first."""

    records: tuple[Quarantined, ...]
    replayed: frozenset[str]
    """Sort keys of those that were put back into the stream."""
    unreadable: int
    """Items that this version cannot read: of a newer one, or damaged by hand."""


def listing(target: Target, day_ms: int, limit: int | None = None) -> Listing:
    """The newest ``limit`` records (default: all) of the UTC day of ``day_ms``; unreadable ones are counted.

    Each partition gives as many as are wanted at most, so the newest of all are among them.
    """
    parts = _each(target, day_ms, lambda partition: _newest(target, partition, limit))
    found = heapq.merge(*(records for records, _ in parts), key=lambda record: record.sort, reverse=True)
    shown = tuple(itertools.islice(found, limit))
    return Listing(shown, replayed(target, day_ms), sum(unreadable for _, unreadable in parts))


def _newest(target: Target, partition: str, limit: int | None) -> tuple[list[Quarantined], int]:
    records: list[Quarantined] = []
    unreadable = 0
    for item in _pages(target, partition, ScanIndexForward=False, **({"Limit": limit} if limit else {})):
        if len(records) == limit:
            break
        try:
            records.append(poison.parse(item))
        except QuarantineError:
            unreadable += 1
    return records, unreadable


def quarantined(target: Target, day_ms: int, limit: int) -> list[Quarantined]:
    """The newest quarantined records of the UTC day of ``day_ms``, newest first."""
    return list(listing(target, day_ms, limit).records)


def counts(target: Target, day_ms: int) -> Counter[str]:
    """How many records were quarantined on the UTC day of ``day_ms``, by the thing that sent them."""
    share = -(-COUNTED // len(keys.quarantine_partitions(day_ms)))

    def count(partition: str) -> Counter[str]:
        items = _pages(target, partition, ProjectionExpression="s, thing")
        return Counter(str(item.get("thing", {}).get("S", "")) for item in itertools.islice(items, share))

    return sum(_each(target, day_ms, count), Counter[str]())


def find(target: Target, name: str) -> list[Quarantined]:
    """The records with this id, or with this sort key; none for a name that is neither."""
    try:
        day_ms, number = _parse(name)
    except ValueError:
        return []
    partitions = [
        keys.quarantine_partition(day_ms),
        keys.quarantine_shard(day_ms, number % keys.QUARANTINE_SHARDS),
    ]
    found = []
    for item in itertools.chain.from_iterable(_pages(target, each) for each in partitions):
        sort = item[keys.SORT]["S"]
        if sort == name or ("#" not in name and keys.quarantine_number(sort) == number):
            found.append(poison.parse(item))
    return found


def one(target: Target, name: str) -> Quarantined:
    """The record of that id; raises TargetError when there is none, several, or it cannot be read."""
    try:
        found = find(target, name)
    except QuarantineError as exc:
        raise TargetError(f"{exc}: is there a newer linkview?") from exc
    if not found:
        raise TargetError(f"no quarantined record {name} on {target.place}: see `linkview quarantine list`")
    if len(found) > 1:
        raise TargetError(f"several records are called {name}, name one in full: {found[0].sort}")
    return found[0]


def _parse(name: str) -> tuple[int, int]:
    """(a time of the day in ms, CRC-32) of an id or a sort key."""
    if "#" in name:
        at_ms, _, _ = keys.parse_quarantine_sort(name)
        if not 0 <= at_ms <= keys.MAX_MS:
            raise ValueError(f"{name!r} is of no time")
        return at_ms, keys.quarantine_number(name)
    day_name, _, number = name.partition("-")
    return keys.day_start(day_name), int(number, 16)


def replayed(target: Target, day_ms: int) -> frozenset[str]:
    """Sort keys of the records of a UTC day that were put back."""
    items = _pages(target, keys.replayed_partition(day_ms), ProjectionExpression="s")
    return frozenset(item[keys.SORT]["S"] for item in items)


def mark_replayed(target: Target, record: Quarantined, now_ms: int, keep_ms: int) -> None:
    """Note that a record was put back; marks outlive their records."""
    item = {
        keys.PARTITION: {"S": keys.replayed_partition(record.at_ms)},
        keys.SORT: {"S": record.sort},
        "at": {"N": str(now_ms)},
        keys.EXPIRES: {"N": str((now_ms + keep_ms) // 1000)},
    }
    request: Any = {"TableName": target.output("QuarantineTable"), "Item": item}
    with failures(target):
        target.dynamodb().put_item(**request)


def _each(target: Target, day_ms: int, read: Callable[[str], T]) -> Sequence[T]:
    target.dynamodb()  # made before the threads share it
    target.outputs()
    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(read, keys.quarantine_partitions(day_ms)))


def _pages(target: Target, partition: str, **more: Any) -> Iterator[Item]:
    request: dict[str, Any] = {
        "TableName": target.output("QuarantineTable"),
        "KeyConditionExpression": "p = :p",
        "ExpressionAttributeValues": {":p": {"S": partition}},
        **more,
    }
    call: Any = target.dynamodb().query
    while True:
        with failures(target):
            page = call(**request)
        yield from page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"]
