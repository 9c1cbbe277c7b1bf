"""Rollups against a recomputation under crashes, time-outs and failures, in any order of anything."""

from __future__ import annotations

import random
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

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


@settings(max_examples=50, deadline=None)
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
