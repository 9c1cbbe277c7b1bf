"""Schedule: when rounds run, and that each becomes exactly one reading."""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.clock import ManualClock
from edge_agent.contract import KINDS, Flag, Link, Outcome, Reading
from edge_agent.grid import next_due, phases
from edge_agent.probes import Measurement, ProbeError
from edge_agent.probes.binding import ProbedLink
from edge_agent.schedule import MEASUREMENTS_MAX, Scheduler, Series
from edge_agent.taken import Taken

VALUES = (3, 3, 0, 0, 1000, 1000, 1000, 1000)
MEASURED = Measurement("connect", VALUES)
Measured = Measurement | Sequence[Measurement]
START_MS = 1_700_000_000_000


class Scripted:
    """A probe that does what it is told."""

    kind = "connect"

    def __init__(self, action: Callable[[], Awaitable[Measured]] | None = None) -> None:
        self._action = action

    async def __call__(self, link: Link) -> Measured:
        return await self._action() if self._action else MEASURED

    def close(self) -> None:
        pass


def failing(*errors: Exception | None) -> Scripted:
    """A probe whose rounds raise these in turn; None measures."""
    turns = iter(errors)

    async def act() -> Measurement:
        error = next(turns)
        if error:
            raise error
        return MEASURED

    return Scripted(act)


class VirtualTime:
    """Time that passes as soon as everything sleeps."""

    def __init__(self) -> None:
        self.clock = ManualClock(START_MS)
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    async def sleep(self, seconds: float) -> None:
        self._count += 1
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.clock.monotonic() + seconds, self._count, woken))
        await woken

    async def run(self, scheduler: Scheduler, seconds: float) -> None:
        """Run the scheduler for so long, then cancel it."""
        task = asyncio.create_task(scheduler.run())
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= seconds and not task.done():
            due, _, woken = heapq.heappop(self._sleepers)
            self.clock.advance(max(due - self.clock.monotonic(), 0))
            if not woken.cancelled():
                woken.set_result(None)
            await self._settle()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    @staticmethod
    async def _settle() -> None:
        for _ in range(10):
            await asyncio.sleep(0)


def series(name: str, probe: Scripted, period_s: float = 10, timeout_s: float = 5) -> Series:
    return Series(ProbedLink(name), "connect", probe, period_s, timeout_s)


def readings(time: VirtualTime, seconds: float, *every: Series, seed: int = 1) -> list[Reading]:
    """What a scheduler gives in so many virtual seconds."""
    taken: list[Taken] = []
    scheduler = Scheduler(every, time.clock, random.Random(seed), taken.append, time.sleep)
    asyncio.run(time.run(scheduler, seconds))
    return [each.reading for each in taken]


def taken_once(*every: Series, clock: ManualClock | None = None) -> list[Taken]:
    """One round of each, as it was taken."""
    taken: list[Taken] = []
    scheduler = Scheduler(every, clock or ManualClock(START_MS), random.Random(1), taken.append)
    asyncio.run(scheduler.run_once())
    return taken


def once(*every: Series, clock: ManualClock | None = None) -> list[Reading]:
    """The readings of one round of each."""
    return [each.reading for each in taken_once(*every, clock=clock)]


# --- when -----------------------------------------------------------------------------------------


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


# --- what becomes of a round ----------------------------------------------------------------------


def test_a_reading_is_stamped_at_the_start_of_its_round() -> None:
    clock = ManualClock(START_MS)

    async def act() -> Measurement:
        clock.advance(3)
        return MEASURED

    assert once(series("a", Scripted(act)), clock=clock) == [
        Reading("a", "connect", START_MS, VALUES, Flag.CLOCK_SYNCED)
    ]


@pytest.mark.parametrize("synced", [True, False])
def test_a_reading_has_the_probes_flags_and_says_whether_the_clock_was_synced(synced: bool) -> None:
    async def act() -> Measurement:
        return Measurement("connect", VALUES, Flag.KERNEL_SENT)

    for probe, flags in ((Scripted(act), Flag.KERNEL_SENT), (failing(ValueError()), Flag.NONE)):
        (reading,) = once(series("a", probe), clock=ManualClock(START_MS, synced=synced))
        assert reading.flags == flags | (Flag.CLOCK_SYNCED if synced else Flag.NONE)


@pytest.mark.parametrize("outcome", [each for each in Outcome if each is not Outcome.MEASURED])
def test_what_a_probe_could_not_measure_is_a_reading_of_nulls(outcome: Outcome) -> None:
    (reading,) = once(series("a", failing(ProbeError(outcome, "because"))))
    assert reading.outcome is outcome
    assert reading.values == (None,) * len(KINDS["connect"].columns)


def test_a_round_that_does_not_end_is_an_overrun_and_holds_up_nobody() -> None:
    async def forever() -> Measurement:
        await asyncio.Event().wait()
        return MEASURED

    taken = once(series("stuck", Scripted(forever), timeout_s=0.01), series("fine", Scripted()))
    assert {reading.link: reading.outcome for reading in taken} == {
        "stuck": Outcome.OVERRUN,
        "fine": Outcome.MEASURED,
    }


def test_a_probes_own_timeout_error_is_a_failure_not_an_overrun() -> None:
    (reading,) = once(series("a", failing(TimeoutError("mine"))))
    assert reading.outcome is Outcome.FAILED


def test_a_fault_in_one_probe_does_not_stop_it_or_the_others() -> None:
    faulty = failing(*[ZeroDivisionError()] * 3)
    taken = readings(VirtualTime(), 29.9, series("bad", faulty), series("good", Scripted()))
    outcomes = [(reading.link, reading.outcome) for reading in taken]
    assert outcomes.count(("bad", Outcome.FAILED)) == outcomes.count(("good", Outcome.MEASURED)) == 3


@pytest.mark.parametrize("values", [(1,), (*VALUES[1:], -1), (70_000, *VALUES[1:]), (1.5, *VALUES[1:])])
def test_values_that_the_contract_cannot_carry_are_a_failure_before_they_reach_the_spool(
    values: tuple[int, ...],
) -> None:
    async def act() -> Measurement:
        return Measurement("connect", values)

    (reading,) = once(series("a", Scripted(act)))
    assert reading.outcome is Outcome.FAILED


def test_a_round_of_several_measurements_becomes_as_many_readings_of_one_time() -> None:
    async def act() -> Sequence[Measurement]:
        return [Measurement("connect", (turn, *VALUES[1:]), Flag(turn)) for turn in (1, 2)]

    clock = ManualClock(START_MS)
    assert once(series("a", Scripted(act)), clock=clock) == [
        Reading("a", "connect", START_MS, (turn, *VALUES[1:]), Flag(turn) | Flag.CLOCK_SYNCED)
        for turn in (1, 2)
    ]


@pytest.mark.parametrize("number", [0, MEASUREMENTS_MAX + 1])
def test_a_round_of_no_or_too_many_measurements_is_one_failure(number: int) -> None:
    async def act() -> Sequence[Measurement]:
        return [MEASURED] * number

    (reading,) = once(series("a", Scripted(act)))
    assert reading.outcome is Outcome.FAILED


@pytest.mark.parametrize(("step_s", "stepped"), [(0.15, True), (-3600, True), (0.05, False), (0, False)])
def test_a_clock_that_is_set_during_a_round_is_flagged_and_slewing_is_not(
    step_s: float, stepped: bool
) -> None:
    clock = ManualClock(START_MS)

    async def act() -> Measurement:
        clock.advance(4)
        clock.step(step_s)
        return MEASURED

    (reading,) = once(series("a", Scripted(act)), clock=clock)
    assert (Flag.CLOCK_STEPPED in reading.flags) == stepped
    assert reading.at_ms == START_MS


@pytest.mark.parametrize("leap_s", [-1, 1])
def test_a_leap_second_in_a_round_is_no_step(leap_s: int) -> None:
    clock = ManualClock(START_MS)

    async def act() -> Measurement:
        clock.advance(4)
        clock.step(leap_s)
        clock.is_leaping = True
        return MEASURED

    (reading,) = once(series("a", Scripted(act)), clock=clock)
    assert Flag.CLOCK_STEPPED not in reading.flags


def test_what_an_unsynchronised_clock_stamps_carries_its_boot_and_the_time_since() -> None:
    clock = ManualClock(START_MS, synced=False, boot_id="second", since_boot_s=12.5)

    async def act() -> Measurement:
        clock.advance(4)
        clock.is_synced = True  # too late for this round: it was stamped at its start
        return MEASURED

    (taken,) = taken_once(series("a", Scripted(act)), clock=clock)
    assert taken == Taken(Reading("a", "connect", START_MS, VALUES), "second", 12_500)


def test_what_a_synchronised_clock_stamps_carries_no_boot() -> None:
    (taken,) = taken_once(series("a", Scripted()), clock=ManualClock(START_MS, since_boot_s=12.5))
    assert (taken.boot, taken.since_boot_ms) == ("", 0)


def test_a_clock_before_1970_loses_no_reading() -> None:
    (taken,) = taken_once(series("a", Scripted()), clock=ManualClock(-5_000, synced=False))
    assert taken.reading.at_ms == 0


def test_a_change_of_state_is_logged_once_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    denied = ProbeError(Outcome.DENIED, "set the sysctl")
    probe = failing(None, denied, denied, denied, None, None, RuntimeError("odd"), RuntimeError("odd"))
    with caplog.at_level(logging.INFO):
        readings(VirtualTime(), 79.9, series("a", probe))
    assert caplog.messages == [
        "connect of a: denied: set the sysctl",
        "connect of a: measured again",
        "connect of a: failed: RuntimeError: odd",
    ]


def test_a_sink_that_fails_ends_the_run_with_its_own_error() -> None:
    class SinkError(Exception):
        """The spool would not take a reading."""

    def refuse(taken: Taken) -> None:
        raise SinkError

    scheduler = Scheduler([series("a", Scripted(), 0.001)], ManualClock(), random.Random(1), refuse)
    with pytest.raises(SinkError):
        asyncio.run(scheduler.run())


def test_a_cancelled_run_leaves_no_reading_of_the_round_it_cut() -> None:
    taken: list[Taken] = []

    async def cut() -> None:
        begun = asyncio.Event()

        async def act() -> Measurement:
            begun.set()
            await asyncio.Event().wait()
            return MEASURED

        scheduler = Scheduler(
            [series("a", Scripted(act), 0.001, 60)], ManualClock(), random.Random(1), taken.append
        )
        task = asyncio.create_task(scheduler.run())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cut())
    assert taken == []
