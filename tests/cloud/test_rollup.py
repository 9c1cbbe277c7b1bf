"""Rollups of what has closed: in their periods, whole, and to the digit."""

from __future__ import annotations

import pytest

from cloud.buckets import SETTLE_MS
from cloud.keys import DAY_MS, HOUR_MS
from tests.cloud.records import batch, echo
from tests.cloud.rollup_cloud import Rolled, in_memory
from tests.cloud.rollup_minutes import MINUTE, START, check, minutes


@pytest.fixture
def rolled() -> Rolled:
    return in_memory()


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
