"""Gaps in the table: kept by the rollup pass and by a scan alike, and read."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from cloud import gaps_item, gaps_reading, gaps_scan, keys
from cloud.dynamo import TransientError
from cloud.gaps_item import GapsError, Stored
from cloud.gaps_state import Gaps, observe
from tests.cloud.conftest import Cloud, Faulty
from tests.cloud.gaps_cloud import HOUR, NOON, minute, ranges, roll, store, watch
from tests.cloud.rollup_cloud import Rolled, in_memory


@pytest.fixture
def cloud() -> Cloud:
    """The tables in memory."""
    return in_memory().cloud


def test_the_rollup_pass_finds_a_hole_when_its_hour_has_closed_and_late_data_fill_it(cloud: Cloud) -> None:
    rolled = Rolled(cloud)
    for number in range(60):
        if number not in (20, 21, 40):
            at = NOON + (number + 1) * 60_000
            rolled.deliver([minute(number)], at)
        if number % 5 == 0:
            roll(rolled, NOON + number * 60_000)
    roll(rolled, NOON + HOUR + 900_000)
    assert ranges(store(cloud).get("gw-1").gaps) == [(120, 132), (240, 246)]
    late = NOON + 2 * HOUR
    assert rolled.deliver([minute(20), minute(40)], late).late
    observer = roll(rolled, late + 60_000)
    assert ranges(store(cloud).get("gw-1").gaps) == [(126, 132)]
    assert observer.taken()["GapsUnknown"] == 6
    assert observer.taken()["GapsUnknown"] == 0


def test_a_pass_and_a_scan_find_the_same(cloud: Cloud) -> None:
    rolled = Rolled(cloud)
    for number in range(60):
        if number % 7:
            rolled.deliver([minute(number)], NOON + (number + 1) * 60_000)
    roll(rolled, NOON + 2 * HOUR)
    roll(rolled, NOON + 2 * HOUR)
    by_pass = store(cloud).get("gw-1").gaps
    read = watch(cloud, 0).batches
    cloud.client.delete_item(TableName=cloud.settings.readings_table, Key=gaps_item.key("gw-1"))
    scanned = gaps_scan.scan(store(cloud), read, "gw-1", NOON - 48 * HOUR, NOON + 3 * HOUR)
    assert scanned.gaps == by_pass == store(cloud).get("gw-1").gaps
    assert scanned.batches == 51
    assert len(ranges(by_pass)) == 8


def test_a_repeated_hour_writes_nothing(cloud: Cloud) -> None:
    batches = [minute(0), minute(5)]
    first = watch(cloud, NOON + HOUR)
    first("gw-1", batches, NOON, NOON + HOUR, NOON)
    before = cloud.items("readings")
    first("gw-1", list(reversed(batches)), NOON, NOON + HOUR, NOON)
    first("gw-1", [], NOON, NOON + HOUR, NOON)
    first("gw-1", batches, NOON + 300_000, NOON + 600_000, NOON)
    assert cloud.items("readings") == before
    assert store(cloud).get("gw-1").revision == 1


def test_a_change_that_was_overtaken_is_made_again_on_what_the_other_saved(cloud: Cloud) -> None:
    others = iter((minute(100), minute(110)))

    def meanwhile(operation: str, request: dict[str, Any]) -> None:
        if operation == "put_item" and (other := next(others, None)):
            store(cloud).change("gw-1", lambda gaps: observe(gaps, [other]).gaps, NOON)

    raced = store(cloud, Faulty(cloud.client, meanwhile))
    made = raced.change("gw-1", lambda gaps: observe(gaps, [minute(0), minute(2)]).gaps, NOON)
    assert store(cloud).get("gw-1") == Stored(made, 3)
    assert ranges(made) == [(6, 12), (18, 600), (606, 660)]


def test_a_change_that_is_overtaken_for_ever_is_left_to_the_next_pass(cloud: Cloud) -> None:
    numbers = iter(range(100))

    def meanwhile(operation: str, request: dict[str, Any]) -> None:
        if operation == "put_item":
            found = next(numbers)
            store(cloud).change("gw-1", lambda gaps: observe(gaps, [minute(3 * found)]).gaps, NOON)

    with pytest.raises(TransientError):
        store(cloud, Faulty(cloud.client, meanwhile)).change(
            "gw-1", lambda gaps: observe(gaps, [minute(1_000)]).gaps, NOON
        )


def test_unreadable_gaps_stop_neither_the_pass_nor_the_others(cloud: Cloud) -> None:
    broken = {**gaps_item.key("gw-1"), "g": {"B": b"newer"}, "rev": {"N": "4"}}
    cloud.client.put_item(TableName=cloud.settings.readings_table, Item=broken)
    observer = watch(cloud, NOON + HOUR)
    observer("gw-1", [minute(0)], NOON, NOON + HOUR, NOON)
    observer("gw-2", [minute(0, "gw-2")], NOON, NOON + HOUR, NOON)
    assert observer.counts["GapsUnreadable"] == 1
    assert ranges(store(cloud).get("gw-2").gaps) == []
    with pytest.raises(GapsError):
        store(cloud).get("gw-1")
    assert [line["event"] for line in cloud.said] == ["gaps"]


# --- read -----------------------------------------------------------------------------------------


class Sparing:
    """Answers a BatchGetItem of at most 100 keys with at most 40 items."""

    def __init__(self, known: list[str]) -> None:
        self.items = {
            keys.gaps_partition(name): gaps_item.pack(Stored(Gaps(name), 1), NOON, 31) for name in known
        }

    def batch_get_item(self, RequestItems: Any) -> Any:
        ((table, asked),) = RequestItems.items()
        now, left = asked["Keys"][:40], asked["Keys"][40:]
        assert len(now + left) <= 100
        found = [self.items[key["p"]["S"]] for key in now if key["p"]["S"] in self.items]
        return {"Responses": {table: found}, "UnprocessedKeys": {table: {"Keys": left}} if left else {}}


def test_gaps_that_the_table_refuses_are_said_and_stop_no_rollup(cloud: Cloud) -> None:
    rolled = Rolled(cloud)
    rolled.deliver([minute(0), minute(5)], NOON + 10 * 60_000)

    def refused(operation: str, request: dict[str, Any]) -> Any:
        if operation == "put_item" and request["Item"]["p"]["S"].startswith("H#"):
            raise ClientError({"Error": {"Code": "ValidationException", "Message": "too large"}}, operation)

    observer = roll(rolled, NOON + HOUR + 900_000, Faulty(cloud.client, refused))
    assert observer.taken()["GapsUnreadable"] == 1
    assert [line["reason"] for line in cloud.said if line["event"] == "gaps"]
    assert [start for _, start in rolled.stored("1h")] == [NOON]


def test_a_listing_of_more_gateways_than_one_call_takes_or_answers_is_whole() -> None:
    names = [f"gw-{number}" for number in range(130)]
    client: Any = Sparing(names[1:])
    found = gaps_reading.read(client, "readings", names)
    assert [each.gateway for each in found if isinstance(each, Gaps)] == names[1:]


def test_gaps_that_are_never_given_are_an_error_and_no_short_listing() -> None:
    client: Any = Sparing([])
    client.batch_get_item = lambda RequestItems: {
        "Responses": {},
        "UnprocessedKeys": RequestItems,
    }
    with pytest.raises(TransientError, match="1 gaps were not given"):
        list(gaps_reading.read(client, "readings", ["gw-1"]))


def test_the_partition_of_gaps_is_never_one_of_chunks() -> None:
    for name in ("gw-1", "20261121", "H", "gaps"):
        partition = keys.gaps_partition(name)
        assert not keys.is_chunk(partition)
        assert keys.parse_gaps_partition(partition) == name
    with pytest.raises(ValueError, match="no partition of gaps"):
        keys.parse_gaps_partition("R#gw#5m")
