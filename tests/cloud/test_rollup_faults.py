"""Rollups against a recomputation under crashes, time-outs and failures, in any order of anything."""

from __future__ import annotations

import random
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud import keys, rollup_item
from cloud.buckets import SETTLE_MS
from cloud.keys import HOUR_MS
from tests.cloud.conftest import Clock, Faulty
from tests.cloud.rollup_cloud import Rolled, in_memory
from tests.cloud.rollup_minutes import MINUTE, START, CrashError, check, crash_after, minutes


@pytest.fixture
def rolled() -> Rolled:
    return in_memory()


def test_a_crash_after_any_call_does_not_matter(rolled: Rolled) -> None:
    """For all n: killed right after call n took effect, then a pass that runs to its end."""
    sent = minutes("gw-1", 57, 63)[::2] + minutes("gw-2", 60, 61)
    on_time, late = sent[::2], sent[1::2]
    client, now = rolled.cloud.client, START + 2 * HOUR_MS + SETTLE_MS
    rolled.deliver(on_time, START + 66 * MINUTE)
    rolled.deliver(late, START + 90 * MINUTE)
    before = rolled.cloud.items("readings")
    crashes = 0
    while True:
        crashes += 1
        try:
            rolled.roll(now, Faulty(client, crash_after(crashes)(client)), page=1)
        except CrashError:
            rolled.roll(now, page=1)
            check(rolled, sent, START + 2 * HOUR_MS)
            assert rolled.marks() == []
        else:
            break
        _reset(rolled, before)
    assert crashes > 40


def _reset(rolled: Rolled, items: list[dict[str, Any]]) -> None:
    table = rolled.cloud.settings.readings_table
    for item in rolled.cloud.items("readings"):
        rolled.cloud.client.delete_item(TableName=table, Key={"p": item["p"], "s": item["s"]})
    for item in items:
        rolled.cloud.client.put_item(TableName=table, Item=item)


def test_a_pass_that_runs_out_of_time_goes_on_where_it_stopped(rolled: Rolled) -> None:
    gateways = [f"gw-{number}" for number in range(6)]
    sent = [each for gateway in gateways for each in minutes(gateway, 0, 6)]
    rolled.deliver(sent, START + 6 * MINUTE)
    now = START + 15 * MINUTE
    done = []
    for _ in range(20):
        clock = Clock(60)

        def costly(operation: str, request: dict[str, Any], clock: Clock = clock) -> Any:
            clock.left_s -= 4

        done.append(rolled.roll(now, Faulty(rolled.cloud.client, costly), clock, page=1)["RollupGateways"])
        if len(rolled.stored("5m")) == 6 and not done[-1]:
            break
    assert sum(done) == 6
    unfinished = [line for line in rolled.said if line.get("event") == "unfinished"]
    assert {reason for line in unfinished for reason in line["reasons"]} == {"no time is left"}
    assert max(done) < 6
    check(rolled, sent, START + 5 * MINUTE)


def test_a_throttled_table_leaves_the_rest_to_the_next_pass(rolled: Rolled) -> None:
    sent = minutes("gw-1", 0, 10) + minutes("gw-2", 0, 10)
    rolled.deliver(sent, START + 10 * MINUTE)

    def throttled(operation: str, request: dict[str, Any]) -> Any:
        if operation == "put_item" and request["Item"]["p"]["S"].startswith("R#gw-2"):
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow down"}}, operation)

    counted = rolled.roll(START + HOUR_MS, Faulty(rolled.cloud.client, throttled), Clock(60))
    assert counted["RollupUnfinished"] == 1
    assert counted["RollupSecondsBehind"] > 0
    assert rolled.roll(START + HOUR_MS)["RollupSecondsBehind"] == 0
    check(rolled, sent, START + 50 * MINUTE)


def test_a_rollup_that_the_table_refuses_for_good_does_not_stop_the_others(rolled: Rolled) -> None:
    sent = minutes("gw-1", 0, 5) + minutes("gw-2", 0, 5)
    rolled.deliver(sent, START + 5 * MINUTE)

    def refused(operation: str, request: dict[str, Any]) -> Any:
        if operation == "put_item" and request["Item"]["p"]["S"].startswith("R#gw-1"):
            raise ClientError({"Error": {"Code": "ValidationException", "Message": "too large"}}, operation)

    counted = rolled.roll(START + 15 * MINUTE, Faulty(rolled.cloud.client, refused))
    assert (counted["RollupRefused"], counted["RollupUnfinished"]) == (1, 0)
    assert [gateway for gateway, _ in rolled.stored("5m")] == ["gw-2"]


def test_a_fault_of_ours_with_one_gateway_does_not_stop_the_others(rolled: Rolled) -> None:
    sent = minutes("gw-1", 0, 5) + minutes("gw-2", 0, 5)
    rolled.deliver(sent, START + 5 * MINUTE)

    def unforeseen(operation: str, request: dict[str, Any]) -> Any:
        if operation == "put_item" and request["Item"]["p"]["S"].startswith("R#gw-1"):
            raise IndexError("tuple index out of range")

    counted = rolled.roll(START + 15 * MINUTE, Faulty(rolled.cloud.client, unforeseen), workers=2)
    assert (counted["RollupRefused"], counted["RollupUnfinished"]) == (1, 0)
    assert [gateway for gateway, _ in rolled.stored("5m")] == ["gw-2"]
    (line,) = (each for each in rolled.said if each.get("event") == "refused")
    assert line["gateway"] == "gw-1"
    assert "tuple index out of range" in line["reason"]


def test_a_rollup_that_cannot_be_read_is_counted_and_left_out_of_its_hour(rolled: Rolled) -> None:
    rolled.store(minutes("gw-1", 0, 60)[::2], START + 50 * MINUTE)
    rolled.roll(START + 55 * MINUTE)
    items = rolled.cloud.items("readings")
    damaged = next(each for each in items if each["p"]["S"].startswith("R#gw-1"))
    rolled.cloud.client.put_item(
        TableName=rolled.cloud.settings.readings_table, Item={**damaged, "r": {"B": b"\x63newer"}}
    )
    counted = rolled.roll(START + HOUR_MS + SETTLE_MS)
    assert counted["RollupUnreadable"] == 1
    place = keys.rollup_partition("gw-1", "1h", START)
    (hour,) = (rollup_item.parse(each) for each in rolled.cloud.items("readings") if each["p"]["S"] == place)
    assert 0 < sum(each.readings for each in hour.series) < 3 * 30


def test_a_pass_says_how_late_the_slowest_of_all_passes_is(rolled: Rolled) -> None:
    """A schedule that has died says nothing itself."""
    rolled.roll(START + HOUR_MS, share=(0, 2))
    rolled.roll(START + HOUR_MS, share=(1, 2))
    assert rolled.roll(START + 3 * HOUR_MS, share=(0, 2))["RollupSecondsBehind"] == 2 * 3600
    assert rolled.roll(START + 3 * HOUR_MS, share=(1, 2))["RollupSecondsBehind"] == 0
    assert rolled.roll(START + 3 * HOUR_MS, share=(0, 1))["RollupSecondsBehind"] == 0


def test_a_chunk_of_a_newer_version_is_counted_and_the_rest_rolled_up(rolled: Rolled) -> None:
    sent = minutes("gw-1", 0, 5)
    rolled.deliver(sent, START + 5 * MINUTE)
    item = next(each for each in rolled.cloud.items("readings") if "b" in each)
    foreign = {**item, "b": {"B": b"\x63newer"}, "s": {"S": item["s"]["S"] + "x"}}
    rolled.cloud.client.put_item(TableName=rolled.cloud.settings.readings_table, Item=foreign)
    assert rolled.roll(START + 15 * MINUTE)["RollupUnreadable"] == 1
    check(rolled, sent, START + 5 * MINUTE)


# --- any order of anything --------------------------------------------------------------------------

EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("deliver"), st.integers(0, 59), st.integers(1, 12)),
        st.tuples(st.just("again"), st.integers(0, 59), st.integers(1, 5)),
        st.tuples(st.just("crash"), st.integers(1, 60), st.just(0)),
        st.tuples(st.just("roll"), st.just(0), st.just(0)),
    ),
    max_size=12,
)


@settings(max_examples=50)
@given(events=EVENTS, seed=st.integers(0, 3))
def test_whatever_the_order_of_deliveries_passes_and_crashes_the_rollups_are_the_truth(
    events: list[tuple[str, int, int]], seed: int
) -> None:
    rolled = in_memory()
    sent = minutes("gw-1", 0, 130, seed)[::7] + minutes("gw-2", 40, 70, seed)[::7]
    random.Random(seed).shuffle(sent)
    now, client = START + 20 * MINUTE, rolled.cloud.client
    waiting = list(sent)
    for what, first, count in events:
        now += 7 * MINUTE
        if what == "deliver":
            rolled.deliver(waiting[:count], now)
            del waiting[:count]
        elif what == "again":
            gone = [each for each in sent if each not in waiting]
            rolled.deliver(gone[first : first + count], now)
        else:
            try:
                fault = crash_after(first)(client) if what == "crash" else lambda *_: None
                rolled.roll(now, Faulty(client, fault), page=1)
            except CrashError:
                pass
    rolled.deliver(waiting, now)
    now = max(now, START + 6 * HOUR_MS)
    rolled.roll(now)
    check(rolled, sent, START + 5 * HOUR_MS)
    assert rolled.marks() == []
