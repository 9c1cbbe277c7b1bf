"""Rollups against a recomputation from what was generated: duplicates, late data, reordering, crashes."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud import queries
from cloud.buckets import DAY, FINE, HOUR, LEEWAY_MS, SETTLE_MS
from cloud.gaps_store import GapStore
from cloud.gaps_watch import GapWatch
from cloud.keys import DAY_MS, HOUR_MS
from cloud.rollup_store import RollupStore
from edge_agent.contract import Batch
from tests.cloud.conftest import Clock, Cloud, Faulty
from tests.cloud.records import EPOCH, NOW, batch, denied, echo, interface
from tests.cloud.rollup_cloud import Rolled, figures, in_memory, recomputed, same

START = NOW // DAY_MS * DAY_MS
"""Midnight before the moment of the tests."""
MINUTE = 60_000


class CrashError(Exception):
    """The function is killed: nobody catches this."""


@pytest.fixture
def rolled() -> Rolled:
    return in_memory()


@pytest.fixture
def in_moto(cloud: Cloud) -> Rolled:
    return Rolled(cloud)


def minutes(gateway: str, first: int, last: int, seed: int = 1) -> list[Batch]:
    """A batch a minute of three links, from minute to minute of the day; the first batch crosses periods."""
    rng = random.Random(f"{gateway} {seed}")
    made = []
    for minute in range(first, last):
        at = START + minute * MINUTE - 30_000 * (minute > 0)
        readings = [
            echo("a.b", at, rng.randrange(1_000, 90_000), received=rng.randrange(6)),
            echo("a.c", at + 20_000 + rng.randrange(30_000), rng.randrange(1_000, 9_000), received=5),
            rng.choice([denied("a.b", at + 1_000), interface("a.b", at + 1_000)]),
        ]
        made.append(batch(gateway, readings, sequence=3 * minute, epoch=EPOCH))
    return made


def check(rolled: Rolled, sent: list[Batch], until_ms: int) -> None:
    """All that is closed is stored, just as it was generated."""
    for name, step in (("5m", FINE), ("1h", HOUR), ("1d", DAY)):
        truth = {
            key: value for key, value in recomputed(sent, name).items() if key[1] + step.length_ms <= until_ms
        }
        assert same(figures(rolled.stored(name).values()), truth), name


# --- what closes ----------------------------------------------------------------------------------


def test_a_period_is_rolled_up_when_it_has_settled_and_not_before(rolled: Rolled) -> None:
    sent = minutes("gw-1", 0, 15)
    rolled.deliver(sent, START + 15 * MINUTE)
    rolled.roll(START + 5 * MINUTE + SETTLE_MS - 1)
    assert rolled.stored("5m") == {}
    rolled.roll(START + 5 * MINUTE + SETTLE_MS)
    assert [start for _, start in rolled.stored("5m")] == [START]


def test_hours_and_days_are_the_sum_of_their_parts_to_the_digit(rolled: Rolled) -> None:
    sent = minutes("gw-1", 0, 1440)[::7]
    for hour in range(25):
        now = START + hour * HOUR_MS
        rolled.deliver([each for each in sent if now - HOUR_MS <= each.last_ms < now], now)
        rolled.roll(now + SETTLE_MS)
    assert rolled.marks() == [] or rolled.roll(START + DAY_MS + 2 * HOUR_MS)
    check(rolled, sent, START + DAY_MS + HOUR_MS)
    assert len(rolled.stored("1d")) == 1


def test_a_reading_counts_in_the_period_of_its_own_time(rolled: Rolled) -> None:
    readings = [echo("a.b", START + 299_999, 1_000), echo("a.b", START + 300_000, 9_000)]
    rolled.deliver([batch("gw-1", readings)], START + 6 * MINUTE)
    rolled.roll(START + HOUR_MS)
    first, second = (rolled.stored("5m")["gw-1", START + at].series[0].measures[0] for at in (0, 300_000))
    assert first is not None
    assert second is not None
    assert (first.low, second.low) == (500, 8_500)


def test_a_batch_of_an_hour_is_in_every_period_that_it_touches(rolled: Rolled) -> None:
    """What begins more than SHORT_MS before a period is left to its mark."""
    readings = [echo("a.b", START + minute * MINUTE, 1_000 + minute) for minute in range(2, 60, 3)]
    sent = [batch("gw-1", readings)]
    assert [*rolled.deliver(sent, START + 59 * MINUTE).hours] == [("gw-1", START)]
    rolled.roll(START + HOUR_MS + SETTLE_MS)
    check(rolled, sent, START + HOUR_MS)
    assert rolled.marks() == []


def test_a_live_batch_that_begins_before_the_period_of_a_pass_counts_in_it(rolled: Rolled) -> None:
    """Without a mark: the pass looks SHORT_MS back."""
    readings = [echo("a.b", START + 5 * MINUTE - 1), echo("a.b", START + 5 * MINUTE)]
    sent = [batch("gw-1", readings)]
    assert rolled.deliver(sent, START + 5 * MINUTE + 2_000).hours == {}
    for end in (5, 10):
        rolled.roll(START + end * MINUTE + SETTLE_MS)
    check(rolled, sent, START + 10 * MINUTE)


def test_nothing_is_rolled_up_for_a_silent_gateway(rolled: Rolled) -> None:
    rolled.deliver(minutes("gw-1", 0, 2), START + 2 * MINUTE)
    counted = rolled.roll(START + 3 * HOUR_MS)
    assert counted["RollupPeriods"] == 2
    assert len(rolled.stored("5m")) == 1


# --- late, doubled, out of order ------------------------------------------------------------------


def test_live_batches_leave_no_mark(rolled: Rolled) -> None:
    for minute in range(1, 20):
        now = START + minute * MINUTE + 45_000
        assert rolled.deliver(minutes("gw-1", minute, minute + 1), now).hours == {}


def test_a_mark_is_left_before_a_period_could_have_been_rolled_up(rolled: Rolled) -> None:
    sent = [batch("gw-1", [echo("a.b", START + 1_000)])]
    early = START + FINE.length_ms + SETTLE_MS - LEEWAY_MS
    assert rolled.deliver(sent, early - 1).hours == {}
    assert [*rolled.deliver(sent, early).hours] == [("gw-1", START)]


def test_late_data_are_in_their_periods_after_the_next_pass_and_their_mark_is_gone(rolled: Rolled) -> None:
    sent = minutes("gw-1", 0, 120)
    on_time, late = sent[:30] + sent[70:], sent[30:70]
    rolled.deliver(on_time, START + 120 * MINUTE)
    rolled.roll(START + 3 * HOUR_MS)
    rolled.deliver(late, START + 3 * HOUR_MS + MINUTE)
    assert len(rolled.marks()) == 2
    counted = rolled.roll(START + 3 * HOUR_MS + 2 * MINUTE)
    assert counted["RollupRecomputed"] == 2
    assert rolled.marks() == []
    check(rolled, sent, START + 3 * HOUR_MS)


def test_late_data_of_a_day_that_is_rolled_up_change_that_day(rolled: Rolled) -> None:
    sent = minutes("gw-1", 0, 60)
    rolled.roll(START + SETTLE_MS)
    rolled.deliver(sent[:30], START + 30 * MINUTE)
    rolled.roll(START + DAY_MS + HOUR_MS)
    rolled.deliver(sent[30:], START + DAY_MS + HOUR_MS)
    rolled.roll(START + DAY_MS + HOUR_MS + MINUTE)
    check(rolled, sent, START + DAY_MS + HOUR_MS)


def test_a_day_before_the_first_pass_is_not_made_of_the_few_hours_that_came_late(rolled: Rolled) -> None:
    sent = minutes("gw-1", 0, 120)
    rolled.store(sent[:60], START + HOUR_MS)
    now = START + DAY_MS + HOUR_MS
    rolled.roll(now)
    rolled.deliver(sent[61:], now)
    rolled.roll(now + MINUTE)
    assert [start for _, start in rolled.stored("1h")] == [START + HOUR_MS]
    assert rolled.stored("1d") == {}


def test_data_beyond_the_window_are_counted_and_change_nothing(rolled: Rolled) -> None:
    rolled.deliver(minutes("gw-1", 0, 10), START + 10 * MINUTE)
    rolled.roll(START + HOUR_MS)
    before = rolled.cloud.everything()
    old = batch("gw-1", [echo("a.b", START - 21 * DAY_MS)])
    found = rolled.mark(rolled.arrivals([old], START + HOUR_MS), START + HOUR_MS)
    assert (found.hours, found.late, found.beyond) == ({}, 1, 1)
    assert rolled.cloud.everything() == before


def test_a_mark_that_waited_beyond_the_window_is_counted_and_removed(rolled: Rolled) -> None:
    rolled.deliver(minutes("gw-1", 0, 5), START + HOUR_MS)
    assert rolled.roll(START + 22 * DAY_MS)["RollupBeyondWindow"] == 1
    assert rolled.marks() == []


def test_a_clock_that_runs_ahead_is_rolled_up_when_its_time_comes(rolled: Rolled) -> None:
    sent = [batch("gw-1", [echo("a.b", START + 5 * HOUR_MS)])]
    rolled.deliver(sent, START + MINUTE)
    rolled.roll(START + HOUR_MS)
    assert rolled.marks() != []
    rolled.roll(START + 7 * HOUR_MS)
    check(rolled, sent, START + 7 * HOUR_MS)
    assert rolled.marks() == []


def test_a_mark_put_again_while_it_is_worked_on_stays(rolled: Rolled) -> None:
    sent = minutes("gw-1", 0, 10)
    rolled.deliver(sent[:5], START + HOUR_MS)

    def arrive(operation: str, request: dict[str, Any]) -> Any:
        if operation == "delete_item":
            rolled.deliver(sent[5:], START + 2 * HOUR_MS)

    rolled.roll(START + 2 * HOUR_MS, Faulty(rolled.cloud.client, arrive))
    assert len(rolled.marks()) == 1
    rolled.roll(START + 2 * HOUR_MS + MINUTE)
    check(rolled, sent, START + HOUR_MS)


def test_a_rollup_of_fewer_chunks_never_replaces_one_of_more(rolled: Rolled) -> None:
    """A slow pass puts what it read long ago after a fast one knew more."""
    sent = minutes("gw-1", 0, 10)
    rolled.deliver(sent[:5], START + 10 * MINUTE)
    between: list[int] = []

    def slow(operation: str, request: dict[str, Any]) -> Any:
        if operation == "put_item" and request["Item"]["p"]["S"].startswith("R#") and not between:
            between.append(1)
            rolled.deliver(sent[5:], START + HOUR_MS)
            rolled.roll(START + HOUR_MS + SETTLE_MS)

    rolled.roll(START + HOUR_MS + SETTLE_MS, Faulty(rolled.cloud.client, slow))
    rolled.roll(START + HOUR_MS + SETTLE_MS + MINUTE)
    check(rolled, sent, START + HOUR_MS)


def test_two_passes_at_once_come_to_the_same(rolled: Rolled) -> None:
    """A second whole pass runs before every single call of the first."""
    sent = minutes("gw-1", 53, 64) + minutes("gw-2", 58, 69)
    rolled.deliver(sent[::2], START + 70 * MINUTE)
    now = START + 2 * HOUR_MS + SETTLE_MS
    depth: list[int] = []

    def other(operation: str, request: dict[str, Any]) -> Any:
        if not depth:
            depth.append(1)
            rolled.deliver(sent[1::2][len(rolled.said) : len(rolled.said) + 1], now)
            rolled.roll(now)
            depth.pop()

    rolled.roll(now, Faulty(rolled.cloud.client, other), page=1)
    assert len(rolled.said) > len(sent[1::2]) + 1
    rolled.roll(now + MINUTE)
    check(rolled, sent, START + 2 * HOUR_MS)


# --- crashes, time-outs, failures -----------------------------------------------------------------


def crash_after(call: int) -> Callable[[Any], Callable[[str, dict[str, Any]], Any]]:
    def bound(client: Any) -> Callable[[str, dict[str, Any]], Any]:
        made = 0

        def fault(operation: str, request: dict[str, Any]) -> Any:
            nonlocal made
            made += 1
            if made == call:
                getattr(client, operation)(**request)
                raise CrashError(operation)
            return None

        return fault

    return bound


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
    assert max(done) < 6
    check(rolled, sent, START + 5 * MINUTE)


def test_a_throttled_table_leaves_the_rest_to_the_next_pass(rolled: Rolled) -> None:
    sent = minutes("gw-1", 0, 10) + minutes("gw-2", 0, 10)
    rolled.deliver(sent, START + 10 * MINUTE)

    def throttled(operation: str, request: dict[str, Any]) -> Any:
        if operation == "put_item" and request["Item"]["p"]["S"].startswith("R#gw-2"):
            error = {"Error": {"Code": "ThrottlingException", "Message": "slow down"}}
            raise ClientError(error, operation)  # type: ignore[arg-type]

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
            error = {"Error": {"Code": "ValidationException", "Message": "too large"}}
            raise ClientError(error, operation)  # type: ignore[arg-type]

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


# --- reading them ---------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [FINE, HOUR, DAY], ids=["5m", "1h", "1d"])
def test_rollups_and_chunks_give_the_same_figures_to_the_digit(
    in_moto: Rolled, target: Any, step: Any
) -> None:
    sent = minutes("gw-1", 0, 200)[::5]
    in_moto.deliver(sent[:30], START + 150 * MINUTE)
    since, until = START + 13 * MINUTE, START + 200 * MINUTE
    of_chunks = [*queries.rollups(target, "gw-1", since, until, step)]
    in_moto.roll(START + 3 * HOUR_MS)
    assert [*queries.rollups(target, "gw-1", since, until, step)] == of_chunks
    in_moto.deliver(sent[30:], START + 5 * HOUR_MS)
    expected = {
        key: value for key, value in recomputed(sent, step.name).items() if key[1] >= step.start(since)
    }
    for _ in range(2):
        assert same(figures(queries.rollups(target, "gw-1", since, until, step)), expected)
        in_moto.roll(START + 30 * HOUR_MS)


def test_stored_rollups_are_read_in_place_of_chunks(in_moto: Rolled, target: Any) -> None:
    in_moto.deliver(minutes("gw-1", 0, 60)[::4], START + 60 * MINUTE)
    in_moto.roll(START + 3 * HOUR_MS)
    expected = [*queries.rollups(target, "gw-1", START, START + HOUR_MS, FINE)]
    for item in in_moto.cloud.items("readings"):
        if "b" in item:
            key = {"p": item["p"], "s": item["s"]}
            in_moto.cloud.client.delete_item(TableName=in_moto.cloud.settings.readings_table, Key=key)
    assert len(expected) == 12
    assert [*queries.rollups(target, "gw-1", START, START + HOUR_MS, FINE)] == expected


def test_a_pass_does_the_same_in_memory_and_in_moto(in_moto: Rolled, rolled: Rolled) -> None:
    """The tests' own DynamoDB is one, as far as a fleet, late data and two passes show."""
    sent = minutes("gw-1", 50, 70)[::3] + minutes("gw-2", 55, 62)[::3]
    for each in (in_moto, rolled):
        each.deliver(sent[1:], START + 72 * MINUTE)
        each.roll(START + 3 * HOUR_MS)
        assert each.deliver(sent[:1], START + 3 * HOUR_MS).hours
        each.roll(START + 4 * HOUR_MS, page=1, observers=(gap_watch(each),))
        each.roll(START + DAY_MS + HOUR_MS)
    for table in ("readings", "latest"):
        ours, theirs = rolled.cloud.items(table), in_moto.cloud.items(table)
        assert sorted(ours, key=repr) == sorted(theirs, key=repr)
    assert len(rolled.cloud.items("readings")) > 15


def gap_watch(rolled: Rolled) -> GapWatch:
    client, table = rolled.cloud.client, rolled.settings.readings_table
    read = RollupStore(client, table, rolled.settings.latest_table).batches
    return GapWatch(GapStore(client, table, 31), read, lambda: START + 4 * HOUR_MS, 30, rolled.said.append)
