"""The data budget under any clock: no window is passed, and nothing spent is forgotten."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.budget import Purpose
from edge_agent.budget.calendar_windows import DAY_S, HOUR_S, Span, start_of
from edge_agent.clock import ManualClock
from tests.edge_agent.budget_rig import MONTH_S, NOON_MS, SMALL, Gateway


@pytest.mark.parametrize("step_s", [-MONTH_S, MONTH_S, -NOON_MS // 1000, 40 * 365 * DAY_S])
def test_a_clock_that_is_not_synchronised_moves_no_window(gateway: Gateway, step_s: int) -> None:
    gateway.book(10_000)
    gateway.clock.is_synced = False
    gateway.clock.step(step_s)
    assert (gateway.hour, gateway.day, gateway.month) == (10_000,) * 3
    gateway.clock.advance(HOUR_S)
    assert (gateway.hour, gateway.day, gateway.month) == (0, 10_000, 10_000)


@pytest.mark.parametrize("wall_ms", [0, NOON_MS - MONTH_S * 1000, NOON_MS + MONTH_S * 1000])
def test_a_board_that_wakes_up_at_any_time_goes_on_where_it_was(gateway: Gateway, wall_ms: int) -> None:
    gateway.book(10_000)
    gateway.budget.close()
    gateway.power_cut(wall_ms, synced=False)
    assert (gateway.hour, gateway.day, gateway.month) == (10_000,) * 3


def test_what_was_spent_before_the_first_synchronisation_is_of_the_month_that_it_shows(
    tmp_path: Path,
) -> None:
    gateway = Gateway(tmp_path, clock=ManualClock(0, synced=False))
    assert gateway.book(50_000)
    gateway.clock.advance(600)
    gateway.clock.step(NOON_MS / 1000)
    gateway.clock.is_synced = True
    assert (gateway.hour, gateway.day, gateway.month) == (50_000,) * 3
    gateway.clock.advance(HOUR_S)
    assert (gateway.hour, gateway.day) == (0, 50_000)


def test_after_months_without_power_what_is_spent_before_the_clock_is_set_is_of_the_new_month(
    gateway: Gateway,
) -> None:
    gateway.book(10_000)
    gateway.budget.close()
    gateway.power_cut(NOON_MS, synced=False)
    gateway.book(20_000)
    gateway.clock.step(2 * MONTH_S)
    gateway.clock.is_synced = True
    assert (gateway.hour, gateway.day, gateway.month) == (20_000,) * 3


def test_a_synchronised_clock_that_was_set_back_gets_its_window_back_with_what_was_spent_since(
    gateway: Gateway,
) -> None:
    gateway.book(10_000)
    gateway.clock.step(MONTH_S)
    gateway.book(20_000)
    gateway.clock.step(-MONTH_S)
    assert gateway.month == 30_000


class Trial:
    """A gateway, and what it truly spent when."""

    def __init__(self, folder: Path) -> None:
        self.gateway = Gateway(folder)
        self.spent: list[tuple[float, int]] = []
        self.true_s = NOON_MS / 1000
        self.was_always_sure = True

    def book(self, size: int, purpose: Purpose) -> None:
        if self.gateway.book(size, purpose):
            self.spent.append((self.true_s, size))

    def advance(self, seconds: int) -> None:
        self.gateway.clock.advance(seconds)
        self.true_s += seconds

    def crash(self) -> None:
        self.gateway.crash()

    def stop(self) -> None:
        self.gateway.budget.close()
        self.gateway.start()

    def cut(self, off_s: int, wall_ms: int) -> None:
        self.true_s += off_s
        self.gateway.power_cut(wall_ms, synced=False)
        self.was_always_sure = False

    def cut_briefly(self) -> None:
        self.true_s += 30
        self.gateway.power_cut(round(self.true_s * 1000), synced=True)

    def sync(self) -> None:
        self.gateway.clock.step(self.true_s - self.gateway.clock.wall_ms() / 1000)
        self.gateway.clock.is_synced = True

    def lose_clock(self, step_s: int) -> None:
        self.gateway.clock.is_synced = False
        self.gateway.clock.step(step_s)

    def check(self) -> None:
        gateway = self.gateway
        known = {Span.HOUR: gateway.hour, Span.DAY: gateway.day, Span.MONTH: gateway.month}
        for span in Span:
            begun_s = start_of(span, self.true_s)
            truly = sum(size for at_s, size in self.spent if at_s >= begun_s)
            # A window of a time that is not known may lie across two true ones.
            assert truly <= SMALL.limit(span) * (1 if self.was_always_sure else 2), span
            if gateway.clock.is_synced:
                assert truly <= known[span], span


SECONDS = st.one_of(st.integers(1, 2 * HOUR_S), st.integers(1, 40 * DAY_S))
ACTIONS = st.one_of(
    st.tuples(st.just("book"), st.integers(1, 60_000), st.sampled_from([*Purpose])),
    st.tuples(st.just("advance"), SECONDS),
    st.tuples(st.just("crash")),
    st.tuples(st.just("stop")),
    st.tuples(st.just("cut"), SECONDS, st.integers(0, 2 * NOON_MS)),
    st.tuples(st.just("cut_briefly")),
    st.tuples(st.just("sync")),
    st.tuples(st.just("lose_clock"), st.integers(-3 * MONTH_S, 3 * MONTH_S)),
)


@settings(max_examples=150)
@given(st.lists(ACTIONS, max_size=40))
def test_no_limit_is_passed_and_nothing_forgotten_whatever_crashes_and_clocks_do(
    actions: list[tuple[object, ...]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(Path(folder))
        for name, *arguments in actions:
            getattr(trial, str(name))(*arguments)
            trial.check()
