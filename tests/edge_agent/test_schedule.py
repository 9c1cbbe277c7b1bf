"""Schedule: when rounds run, without drift, bursts or two of a series at once."""

from __future__ import annotations

import asyncio
import random
from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.contract import Outcome
from edge_agent.grid import next_due, phases
from edge_agent.probes import Measurement
from edge_agent.probes.binding import ProbedLink
from edge_agent.schedule import Scheduler, Series
from edge_agent.taken import Taken
from tests.edge_agent.schedule_rig import MEASURED, START_MS, Scripted, VirtualTime, once, readings, series


def test_rounds_keep_their_period_without_drift_however_long_each_takes() -> None:
    time = VirtualTime()

    async def act() -> Measurement:
        await time.sleep(0.7)
        return MEASURED

    times = [reading.at_ms for reading in readings(time, 10_000, series("a", Scripted(act)))]
    assert len(times) == 1000
    assert {at - times[0] - 10_000 * turn for turn, at in enumerate(times)} <= {-1, 0, 1}


@pytest.mark.parametrize("number", [2, 13, 200])
def test_series_of_one_period_are_spread_over_it_evenly(number: int) -> None:
    taken = readings(VirtualTime(), 10, *(series(f"l{n}", Scripted()) for n in range(number)))
    begun = sorted(reading.at_ms - START_MS for reading in taken)
    assert len(begun) == number and begun[0] >= 0 and begun[-1] < 10_000
    gaps = [later - earlier for earlier, later in pairwise([*begun, begun[0] + 10_000])]
    assert min(gaps) > 10_000 / number / 3
    assert max(gaps) < 10_000 / number * 3


def test_in_5000_series_of_mixed_periods_no_second_has_a_burst() -> None:
    periods = [10] * 3000 + [60] * 1500 + [5] * 500
    begun = [begin // 0.1 for begin in phases(periods, 0.3)]
    # In its first 5 s: 300, 25 and 100 begin each second; a tenth of a second of them is 42.5.
    counts = [begun.count(tenth) for tenth in range(50)]
    assert min(counts) >= 32 and max(counts) <= 53


def moved(jitter: float, timeout_s: float = 5) -> list[float]:
    """How far 1000 rounds of one series are from its grid, in periods."""
    one = Series(ProbedLink("a"), "connect", Scripted(), 10, timeout_s, jitter)
    (still,) = readings(VirtualTime(), 10, one._replace(jitter=0))
    times = [each.at_ms - still.at_ms for each in readings(VirtualTime(), 10_000 + 9.9, one)]
    return [at / 10_000 - turn for turn, at in enumerate(times)]


def test_jitter_moves_each_round_to_either_side_of_its_grid_and_never_adds_up() -> None:
    shifts = moved(0.1)
    assert len(shifts) >= 1000
    assert -0.1005 <= min(shifts) < -0.09 and 0.09 < max(shifts) <= 0.1005
    assert abs(sum(shifts)) / len(shifts) < 0.01
    assert len(set(shifts)) > 500


def test_jitter_never_moves_a_round_into_the_time_of_another() -> None:
    assert -0.0101 < min(moved(0.5, timeout_s=9.8)) < max(moved(0.5, timeout_s=9.8)) < 0.0101
    assert set(moved(0.5, timeout_s=10)) <= {0, 0.0001, -0.0001}


def test_rounds_that_take_their_whole_period_are_one_after_another() -> None:
    time = VirtualTime()
    running: list[int] = []

    async def act() -> Measurement:
        running.append(1)
        assert len(running) == 1
        await time.sleep(8)
        running.pop()
        return MEASURED

    one = Series(ProbedLink("a"), "connect", Scripted(act), 8, 8, 0.5)
    taken = readings(time, 799.9, one)
    assert {reading.outcome for reading in taken} == {Outcome.MEASURED}
    assert 98 <= len(taken) <= 100


def test_phases_come_from_the_generator_that_is_given() -> None:
    def times(seed: int) -> list[int]:
        return [each.at_ms for each in readings(VirtualTime(), 30, series("a", Scripted()), seed=seed)]

    assert times(1) == times(1) != times(2)


def test_rounds_missed_in_a_suspend_are_skipped_and_the_grid_is_kept() -> None:
    time = VirtualTime()
    suspended: list[float] = []

    async def act() -> Measurement:
        if time.clock.monotonic() > 100 and not suspended:
            suspended.append(time.clock.monotonic())
            time.clock.advance(3_607)
        return MEASURED

    times = [reading.at_ms - START_MS for reading in readings(time, 4_000, series("a", Scripted(act)))]
    steps = [later - earlier for earlier, later in pairwise(times)]
    assert [step for step in steps if step > 10_001] == [pytest.approx(3_610_000, abs=1)]
    assert min(steps) >= 9_999


def test_a_sleeper_that_wakes_a_whole_period_late_waits_for_its_next_turn() -> None:
    """After a suspend no series runs off its grid, or all of them would run at once."""
    time = VirtualTime()
    woken: list[float] = []

    async def late_sleep(seconds: float) -> None:
        await time.sleep(seconds)
        if not woken and time.clock.monotonic() > 50:
            time.clock.advance(995)
            woken.append(time.clock.monotonic())

    taken: list[Taken] = []
    scheduler = Scheduler([series("a", Scripted())], time.clock, random.Random(1), taken.append, late_sleep)
    asyncio.run(time.run(scheduler, 1_100))
    times = [each.reading.at_ms for each in taken]
    offsets = {(at_ms - times[0]) % 10_000 for at_ms in times}
    assert offsets <= {0, 1, 9_999}


@given(st.floats(0, 1e6), st.floats(0.2, 86_400), st.integers(0, 10_000), st.floats(-10, 1e6))
def test_the_next_round_is_on_the_grid_after_the_last_and_not_past(
    first: float, period: float, turn: int, later: float
) -> None:
    due = first + turn * period
    now = due + later
    following = next_due(first, period, due, now)
    assert following > due
    assert following >= now - 1e-6
    assert following - max(now, due) <= period * (1 + 1e-6)
    turns = (following - first) / period
    assert turns == pytest.approx(round(turns), abs=1e-3)


def test_run_once_runs_every_series_once() -> None:
    taken = once(*(series(f"l{n}", Scripted()) for n in range(5)))
    assert sorted(reading.link for reading in taken) == [f"l{n}" for n in range(5)]


def adaptive(probe: Scripted) -> Series:
    return Series(ProbedLink("a"), "connect", probe, 10, 5, adaptive=True)


def test_an_adaptive_series_of_a_quiet_link_slows_down_to_a_quarter() -> None:
    taken = readings(VirtualTime(), 1_000, adaptive(Scripted()))
    steps = [later.at_ms - earlier.at_ms for earlier, later in pairwise(taken)]
    assert steps == sorted(steps)
    assert steps[-1] == pytest.approx(40_000, abs=1)


def test_an_adaptive_series_of_a_link_that_changes_speeds_up_by_what_it_has_saved() -> None:
    time = VirtualTime()

    turns = count()

    async def act() -> Measurement:
        if time.clock.monotonic() < 2_000 or next(turns) % 4 < 2:
            return MEASURED
        return Measurement("connect", (3, 0, 3, 0, None, None, None, None))

    taken = readings(time, 2_400, adaptive(Scripted(act)))
    restless = [each.at_ms for each in taken if each.at_ms > START_MS + 2_000_000]
    assert min(later - earlier for earlier, later in pairwise(restless)) == pytest.approx(2_500, abs=1)
    assert len(taken) <= 2_400 / 10


def test_the_longest_wait_of_a_series_has_its_jitter_and_its_slowest_pace_in_it() -> None:
    one = Series(ProbedLink("a"), "connect", Scripted(), 10, 5, 0.5)
    assert one.longest_s == 25
    assert one._replace(adaptive=True).longest_s == 85
