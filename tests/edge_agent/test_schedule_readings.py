"""Schedule: each round becomes exactly one reading, whatever its probe does."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence

import pytest

from edge_agent.clock import ManualClock
from edge_agent.contract import KINDS, Flag, Outcome, Reading
from edge_agent.probes import Measurement, ProbeError
from edge_agent.schedule import MEASUREMENTS_MAX, Scheduler
from edge_agent.taken import Taken
from tests.edge_agent.schedule_rig import (
    MEASURED,
    START_MS,
    VALUES,
    Scripted,
    VirtualTime,
    failing,
    once,
    readings,
    series,
    taken_once,
)


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
