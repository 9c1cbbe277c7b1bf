"""The read side: what the tables say, as values; every function raises TargetError with one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from cloud import chunk, keys, latest, poison
from cloud.latest import Latest
from cloud.poison import Quarantined
from cloud.target import Target, TargetError, failures
from edge_agent.contract import MAX_SPAN_MS, ContractError, Reading

COUNTED = 100_000
"""Quarantined records of a day that are counted at most; the figure is a minimum then."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A gateway in the registry."""

    gateway: str
    added_ms: int | None
    site: str


@dataclass(frozen=True, slots=True)
class History:
    """Readings of one gateway, oldest first."""

    readings: tuple[Reading, ...]
    unreadable: int
    """Stored batches that this version cannot read, e.g. of a newer agent."""


def latest_states(target: Target) -> list[Latest]:
    """The latest state of every gateway, by name."""
    pages = _pages(target, "scan", TableName=target.output("LatestTable"))
    return sorted((_state(target, item) for item in pages), key=lambda state: state.gateway)


def latest_state(target: Target, gateway: str) -> Latest | None:
    """The latest state of one gateway; None when it never sent a live batch."""
    request: Any = {
        "TableName": target.output("LatestTable"),
        "Key": {keys.LATEST_KEY: {"S": gateway}},
        "ConsistentRead": True,
    }
    with failures(target):
        item = target.dynamodb().get_item(**request).get("Item")
    return _state(target, cast(keys.Item, item)) if item else None


def _state(target: Target, item: keys.Item) -> Latest:
    try:
        return latest.parse(item)
    except ContractError as exc:
        message = f"{target.place}: {exc}: is there a newer linkview?"
        raise TargetError(message) from exc


def enrolments(target: Target) -> list[Enrolment]:
    """The enrolled gateways."""
    pages = _pages(
        target,
        "scan",
        TableName=target.output("RegistryTable"),
        FilterExpression="s = :gateway",
        ExpressionAttributeValues={":gateway": {"S": keys.GATEWAY}},
    )
    return [
        Enrolment(
            item[keys.PARTITION]["S"],
            int(item["added_ms"]["N"]) if "added_ms" in item else None,
            str(item.get("site", {}).get("S", "")),
        )
        for item in pages
    ]


def history(target: Target, gateway: str, since_ms: int, until_ms: int) -> History:
    """Readings of a gateway taken in [since, until), decoded from the chunks that may hold them."""
    table, unreadable = target.output("ReadingsTable"), 0
    readings: list[Reading] = []
    for partition, low, high in keys.chunk_ranges(gateway, since_ms, until_ms, MAX_SPAN_MS):
        for item in _range(target, table, partition, low, high):
            try:
                batch = chunk.parse(item)
            except ContractError:
                unreadable += 1
                continue
            readings += (each for each in batch.readings if since_ms <= each.at_ms < until_ms)
    return History(tuple(sorted(readings, key=lambda each: each.at_ms)), unreadable)


def quarantined(target: Target, day_ms: int, limit: int) -> list[Quarantined]:
    """The newest quarantined records of the UTC day of ``day_ms``, newest first."""
    found: list[Quarantined] = []
    for item in _pages(target, "query", **_quarantine_day(target, day_ms), ScanIndexForward=False):
        if len(found) == limit:
            break
        found.append(poison.parse(item))
    return found


def quarantine_counts(target: Target, day_ms: int) -> Counter[str]:
    """How many records were quarantined on the UTC day of ``day_ms``, by the thing that sent them."""
    counts: Counter[str] = Counter()
    request = {**_quarantine_day(target, day_ms), "ProjectionExpression": "s, thing"}
    for index, item in enumerate(_pages(target, "query", **request)):
        if index == COUNTED:
            break
        counts[poison.parse(item).thing] += 1
    return counts


def _quarantine_day(target: Target, day_ms: int) -> dict[str, Any]:
    return {
        "TableName": target.output("QuarantineTable"),
        "KeyConditionExpression": "p = :p",
        "ExpressionAttributeValues": {":p": {"S": keys.quarantine_partition(day_ms)}},
    }


def _range(target: Target, table: str, partition: str, low: str, high: str) -> Iterator[keys.Item]:
    return _pages(
        target,
        "query",
        TableName=table,
        KeyConditionExpression="p = :p AND s BETWEEN :low AND :high",
        ExpressionAttributeValues={":p": {"S": partition}, ":low": {"S": low}, ":high": {"S": high}},
        # What was stored a moment ago must be there: people compare.
        ConsistentRead=True,
    )


def _pages(target: Target, operation: str, **request: Any) -> Iterator[keys.Item]:
    """The items of a query or scan, page by page."""
    call = getattr(target.dynamodb(), operation)
    while True:
        with failures(target):
            page = call(**request)
        yield from page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"]
