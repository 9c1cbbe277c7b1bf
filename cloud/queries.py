"""The read side: what the tables say, as values; every function raises TargetError with one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from cloud import (
    chunk,
    keys,
    latest,
    quarantine_reading,
    rollup_cursor,
    rollup_item,
    rollup_marks,
    rollup_reading,
)
from cloud import (
    snapshot as graph,
)
from cloud.buckets import FINE, Step
from cloud.latest import Latest
from cloud.rollup_item import Rollup, RollupError
from cloud.rollup_reading import Standing
from cloud.snapshot import Snapshot, SnapshotError
from cloud.target import Target, TargetError, failures
from edge_agent.contract import MAX_SPAN_MS, Batch, ContractError, Reading


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A gateway in the registry."""

    gateway: str
    added_ms: int | None
    site: str


@dataclass(frozen=True, slots=True)
class States:
    """Latest states, by gateway."""

    states: tuple[Latest, ...]
    unreadable: tuple[str, ...] = ()
    """What is wrong with those that this version cannot read, e.g. of a newer one."""

    def __iter__(self) -> Iterator[Latest]:
        return iter(self.states)


@dataclass(frozen=True, slots=True)
class History:
    """Readings of one gateway, oldest first."""

    readings: tuple[Reading, ...]
    unreadable: int
    """Stored batches that this version cannot read, e.g. of a newer agent."""


def latest_states(target: Target) -> States:
    """The latest state of every gateway, by name; one that cannot be read does not hide the others."""
    states, unreadable = [], []
    for item in pages(target, "scan", TableName=target.output("LatestTable")):
        try:
            states.append(latest.parse(item))
        except ContractError as exc:
            unreadable.append(str(exc))
    return States(tuple(sorted(states, key=lambda state: state.gateway)), tuple(sorted(unreadable)))


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
    found = pages(
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
        for item in found
    ]


def history(target: Target, gateway: str, since_ms: int, until_ms: int) -> History:
    """Readings of a gateway taken in [since, until), decoded from the chunks that may hold them."""
    unreadable = 0
    readings: list[Reading] = []
    for batch in _batches(target, gateway, since_ms, until_ms):
        if batch is None:
            unreadable += 1
        else:
            readings += (each for each in batch.readings if since_ms <= each.at_ms < until_ms)
    return History(tuple(sorted(readings, key=lambda each: each.at_ms)), unreadable)


def _batches(target: Target, gateway: str, since_ms: int, until_ms: int) -> Iterator[Batch | None]:
    """Stored batches that may have readings in [since, until); None for one that cannot be read."""
    table = target.output("ReadingsTable")
    for partition, low, high in keys.chunk_ranges(gateway, since_ms, until_ms, MAX_SPAN_MS):
        for item in _range(target, table, partition, low, high):
            try:
                yield chunk.parse(item)
            except ContractError:
                yield None


def rollups(
    target: Target, gateway: str, since_ms: int, until_ms: int, step: Step = FINE
) -> Iterator[Rollup]:
    """What a gateway's readings come to in each period that overlaps [since, until), oldest first.

    Whole periods, those without readings left out; the one that is not over yet is of what has come.
    """
    if until_ms <= since_ms:
        return
    since_ms = step.start(since_ms)
    table, until_ms = target.output("ReadingsTable"), step.start(until_ms - 1) + step.length_ms
    # The standing first: what is rolled up after it was read is only asked of the chunks for nothing.
    standing = _standing(target, gateway)
    stored = {}
    for place in keys.rollup_ranges(gateway, step.name, since_ms, until_ms):
        for item in _range(target, table, *place):
            with suppress(RollupError):
                found = rollup_item.parse(item)
                if standing.holds(step, found.start_ms):
                    stored[found.start_ms] = found
    for begin_ms, end_ms in rollup_reading.open_ranges(step, since_ms, until_ms, stored.keys()):
        batches = (batch for batch in _batches(target, gateway, begin_ms, end_ms) if batch)
        for found in rollup_reading.of_chunks(gateway, batches, step, begin_ms, end_ms):
            stored[found.start_ms] = found
    yield from (stored[start_ms] for start_ms in sorted(stored))


def _standing(target: Target, gateway: str) -> Standing:
    table = target.output("ReadingsTable")
    cursors = _range(target, table, keys.CURSOR_PARTITION, "0", "~")
    marks = _range(target, table, keys.mark_partition(keys.mark_shard(gateway)), *keys.mark_range(gateway))
    hours = [rollup_marks.parse(item).hour_ms for item in marks]
    return rollup_reading.standing(map(rollup_cursor.parse, cursors), hours)


def snapshot(target: Target) -> Snapshot | None:
    """The graph of all directed links as last built; None before the first rollup pass.

    Raises TargetError when it was replaced twice while it was read, or is of a newer version.
    """
    table, segment, segments = target.output("ReadingsTable"), 0, 1
    times: list[int] = []
    edges: list[graph.Edge] = []
    while segment < segments:
        partition = keys.snapshot_partition(segment)
        heads = [*_range(target, table, partition, keys.SNAPSHOT_HEAD, keys.SNAPSHOT_HEAD)]
        if not heads:
            return None
        head = graph.parse_head(heads[0], segment)
        wanted = dict.fromkeys(graph.sorts(head))
        try:
            for item in _range(target, table, partition, min(wanted, default="0"), max(wanted, default="0")):
                if item[keys.SORT]["S"] in wanted:
                    edges += graph.parse(item, head)
        except SnapshotError as exc:
            raise TargetError(f"{target.place}: the graph of its links: {exc}") from exc
        times.append(head.at_ms)
        segment, segments = segment + 1, head.segments
    return Snapshot(min(times), tuple(sorted(edges, key=lambda edge: (edge.gateway, edge.link))))


quarantined = quarantine_reading.quarantined
quarantine_counts = quarantine_reading.counts


def _range(target: Target, table: str, partition: str, low: str, high: str) -> Iterator[keys.Item]:
    return pages(
        target,
        "query",
        TableName=table,
        KeyConditionExpression="p = :p AND s BETWEEN :low AND :high",
        ExpressionAttributeValues={":p": {"S": partition}, ":low": {"S": low}, ":high": {"S": high}},
        # What was stored a moment ago must be there: people compare.
        ConsistentRead=True,
    )


def pages(target: Target, operation: str, **request: Any) -> Iterator[keys.Item]:
    """The items of a query or scan, page by page; raises TargetError."""
    call = getattr(target.dynamodb(), operation)
    while True:
        with failures(target):
            page = call(**request)
        yield from page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"]
