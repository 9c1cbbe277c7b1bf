"""The data budget: its windows, its limits, which purpose is held back first, and its forecast."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.budget import Purpose, Unlimited
from edge_agent.budget.budget import Budget
from edge_agent.budget.calendar_windows import DAY_S, HOUR_S, Span, end_of, start_of
from edge_agent.budget.ledger_file import LedgerFile
from edge_agent.budget.limits import Limits, limits
from edge_agent.clock import ManualClock
from tests.edge_agent.budget_rig import MONTH_S, NOON_MS, SMALL, WAN, Gateway

# --- windows --------------------------------------------------------------------------------------


def test_a_month_begins_on_the_reset_day_at_midnight_utc() -> None:
    at_s = NOON_MS // 1000
    assert start_of(Span.MONTH, at_s) == 1_698_796_800  # 2023-11-01
    assert start_of(Span.MONTH, at_s, 15) == 1_700_006_400  # 2023-11-15
    assert start_of(Span.MONTH, at_s, 16) == 1_697_414_400  # 2023-10-16
    assert end_of(Span.MONTH, 1_697_414_400, 16) == 1_700_092_800  # 2023-11-16
    january_s = 1_704_067_200  # 2024-01-01
    assert start_of(Span.MONTH, january_s, 2) == 1_701_475_200  # 2023-12-02
    assert end_of(Span.MONTH, 1_701_475_200, 2) == 1_704_153_600  # 2024-01-02


@given(st.floats(-1e12, 1e12), st.sampled_from([*Span]), st.integers(1, 28))
def test_windows_lie_one_after_the_other(at_s: float, span: Span, reset_day: int) -> None:
    start_s = start_of(span, at_s, reset_day)
    assert start_s == start_of(span, start_s, reset_day)
    assert start_s <= min(max(at_s, 31 * DAY_S), 32_503_680_000) < (end_s := end_of(span, start_s, reset_day))
    assert start_of(span, end_s, reset_day) == end_s or end_s > 32_503_680_000
    assert start_of(span, end_s - 1, reset_day) == start_s or end_s > 32_503_680_000


# --- limits and priorities ------------------------------------------------------------------------


def test_limits_that_are_not_set_follow_from_the_links_and_from_each_other() -> None:
    assert limits(0, 0, 0, 0.05, 0) == Limits(30_000_000, 3_000_000, 750_000)
    assert limits(0, 0, 0, 0.05, 2) == Limits(60_000_000, 6_000_000, 1_500_000)
    assert limits(10, 20, 30, 0, 1) == Limits(10_000_000, 10_000_000, 10_000_000, 0)


def test_nothing_is_asked_where_bytes_are_free(gateway: Gateway) -> None:
    for spend in (gateway.budget, Unlimited()):
        assert spend.book(Purpose.SPEED, 1 << 40, "")
        spend.correct(Purpose.SPEED, 1, "")
    assert gateway.month == 0


def test_the_lower_a_purpose_the_earlier_it_is_held_back(gateway: Gateway) -> None:
    filled = {}
    for purpose in sorted(Purpose, reverse=True):
        while gateway.book(100, purpose):
            pass
        filled[purpose] = gateway.hour
    by_priority = [filled[purpose] for purpose in Purpose]
    assert by_priority == sorted(by_priority, reverse=True)
    assert filled[Purpose.SPEED] < filled[Purpose.BACKFILL] < filled[Purpose.PROBE] < filled[Purpose.LIVE]


def test_the_reserve_is_for_alarms_alone(gateway: Gateway) -> None:
    while gateway.book(100, Purpose.LIVE):
        pass
    assert gateway.hour == SMALL.hour * 0.9
    assert not gateway.book(1, Purpose.CONTROL)
    while gateway.book(100, Purpose.ALARM):
        pass
    assert gateway.hour == SMALL.hour


@pytest.mark.parametrize(
    ("narrow", "later_s", "why"),
    [
        (Limits(10**9, 10**9, 1_000), HOUR_S, "hour"),
        (Limits(10**9, 1_000, 10**9), DAY_S, "day"),
        (Limits(1_000, 10**9, 10**9), MONTH_S, "month"),
    ],
)
def test_each_window_refuses_by_itself_and_opens_again(
    tmp_path: Path, narrow: Limits, later_s: int, why: str
) -> None:
    gateway = Gateway(tmp_path, limits=narrow)
    assert gateway.book(900)
    assert not gateway.book(900)
    assert f"the {why}'s" in gateway.budget.why(Purpose.PROBE, 900, WAN)
    gateway.clock.advance(later_s)
    assert gateway.book(900)


def test_what_it_really_cost_is_counted_even_above_the_limit(gateway: Gateway) -> None:
    assert gateway.book(1_000)
    gateway.budget.correct(Purpose.CONTROL, 80_000, WAN)
    assert gateway.hour == 81_000
    assert not gateway.book(1, Purpose.ALARM)
    gateway.budget.correct(Purpose.CONTROL, -79_000, WAN)
    assert gateway.hour == 2_000


def test_interfaces_have_ledgers_of_their_own(gateway: Gateway) -> None:
    gateway.budget.book(Purpose.PROBE, 500, "ppp0")
    assert [(each.interface, each.hour) for each in gateway.budget.summary()] == [("ppp0", 500), (WAN, 0)]


def test_a_refusal_is_logged_once_and_its_end_too(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    gateway.book(60_000)
    for _ in range(3):
        assert not gateway.book(20_000)
        assert gateway.book(10)  # what is smaller fits, and means nothing
    gateway.clock.advance(HOUR_S)
    for _ in range(3):
        assert gateway.book(20_000)
    assert [record.message for record in caplog.records] == [
        "the data budget of wwan0 admits no probe now",
        "the data budget of wwan0 admits probe again",
    ]


def test_back_fill_waits_when_it_is_told_to(tmp_path: Path) -> None:
    asked = []

    def holds(meter: str, spent: int, limit: int) -> bool:
        asked.append((meter, spent, limit))
        return True

    file = LedgerFile(tmp_path / "budget")
    budget = Budget(file, ManualClock(NOON_MS), lambda meter: SMALL, holds_backfill=holds)
    assert not budget.book(Purpose.BACKFILL, 10, WAN)
    assert budget.book(Purpose.LIVE, 10, WAN)
    assert asked == [(WAN, 0, SMALL.month)]


# --- forecast -------------------------------------------------------------------------------------


def test_the_forecast_follows_the_pace_of_the_last_days(gateway: Gateway) -> None:
    gateway.clock.step(-14.5 * DAY_S)  # the first of the month, 00:00
    for _ in range(5):
        for _ in range(4):
            gateway.book(45_000)
            gateway.clock.advance(6 * HOUR_S)
    summary = gateway.budget.summary()[0]
    assert summary.month == 900_000
    assert summary.lasts_s == pytest.approx((2_700_000 - 900_000) / 180_000 * DAY_S)


def test_a_pace_that_lasts_to_the_end_of_the_month_is_no_forecast(gateway: Gateway) -> None:
    for _ in range(8):
        gateway.book(1_000)
        gateway.clock.advance(6 * HOUR_S)
    assert gateway.budget.summary()[0].lasts_s is None


def test_a_gateway_that_began_in_the_evening_has_the_pace_of_the_evening(gateway: Gateway) -> None:
    gateway.clock.step(-8 * HOUR_S - 14 * DAY_S)  # 04:00 on the first of the month
    (gateway.folder / "budget").unlink()
    (gateway.folder / "budget.copy").unlink()
    gateway.start()
    assert gateway.book(60_000)
    gateway.clock.advance(5 * HOUR_S)
    assert gateway.budget.summary()[0].lasts_s is None  # too little to tell
    gateway.clock.advance(HOUR_S)
    assert gateway.budget.summary()[0].lasts_s == pytest.approx((2_700_000 - 60_000) / (60_000 / 6 / HOUR_S))


def test_a_spent_month_lasts_no_longer(gateway: Gateway) -> None:
    gateway.budget.correct(Purpose.CONTROL, 3_000_000, WAN)
    assert gateway.budget.summary()[0].lasts_s == 0
