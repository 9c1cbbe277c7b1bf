"""Timekeeping: the time of readings while the wall clock is wrong, set, flickering or never right."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.clock import ManualClock
from edge_agent.clock_trust import DOUBT_S, Seldom
from edge_agent.contract import Flag, Link, Reading, decode
from edge_agent.probes import Measurement
from edge_agent.probes.binding import ProbedLink
from edge_agent.schedule import Scheduler, Series
from edge_agent.spool import MemoryDisk, Spool
from edge_agent.taken import Taken
from edge_agent.timekeeping import BOOTS_MAX, Timekeeper

NOW_MS = 1_763_000_000_000
DAY_S = 86_400
HOUR_S = 3_600
TEN_YEARS_S = 3_652 * DAY_S
WAIT_S = 300.0
VALUES = (3, 3, 0, 0, 1000, 1000, 1000, 1000)
READING = Reading("a", "connect", 0, VALUES)
BELIEVED = Flag.CLOCK_SYNCED
RESTAMPED = Flag.CLOCK_SYNCED | Flag.RESTAMPED


class Gateway:
    """A machine with its clock, the agent's timekeeper and a journal that survives everything."""

    def __init__(self, wall_ms: int, synced: bool = False, floor_ms: int = 0, wait_s: float = WAIT_S) -> None:
        self.clock = ManualClock(wall_ms, synced, boot_id="boot 0", since_boot_s=20)
        self.journal: list[Taken] = []
        self.sealed: list[Reading] = []
        self.keeper = Timekeeper(self.clock, wait_s, floor_ms)
        self._wait_s = wait_s
        self._boots = 0

    def measure(self, rounds: int = 1, every_s: float = 10) -> None:
        for _ in range(rounds):
            self.journal.append(self.keeper.take(READING))
            self.clock.advance(every_s)

    def seal(self) -> list[Reading]:
        """Settle from the oldest on, until one has to wait; what was sealed now."""
        now: list[Reading] = []
        while self.journal and (settled := self.keeper.settle(self.journal[0])) is not None:
            self.journal.pop(0)
            now.append(settled)
        self.sealed += now
        return now

    def restart(self) -> None:
        """A new agent in the same boot."""
        newest = self.sealed[-1].at_ms if self.sealed else 0
        self.keeper = Timekeeper(self.clock, self._wait_s, newest)

    def power_cut(self, wall_ms: int, synced: bool = False) -> None:
        self._boots += 1
        self.clock.reboot(wall_ms, f"boot {self._boots}", synced)
        self.clock.advance(20)
        self.restart()

    def synchronise(self, true_ms: int) -> None:
        self.clock.step((true_ms - self.clock.wall_ms()) / 1000)
        self.clock.is_synced = True


def times(readings: Sequence[Reading]) -> list[int]:
    return [each.at_ms for each in readings]


def flags(readings: Sequence[Reading]) -> set[Flag]:
    return {each.flags for each in readings}


def spaced(start_ms: int, rounds: int) -> list[int]:
    return [start_ms + 10_000 * turn for turn in range(rounds)]


# --- a clock that comes right ---------------------------------------------------------------------


def test_readings_of_a_synchronised_clock_are_settled_as_they_are() -> None:
    gateway = Gateway(NOW_MS, synced=True)
    gateway.measure(3)
    assert times(gateway.seal()) == spaced(NOW_MS, 3)
    assert flags(gateway.sealed) == {BELIEVED}


@pytest.mark.parametrize("wall_ms", [0, -5_000, NOW_MS - DAY_S * 1000, NOW_MS + DAY_S * 1000])
def test_what_was_measured_before_the_first_synchronisation_waits_for_it_and_gets_its_time(
    wall_ms: int,
) -> None:
    gateway = Gateway(wall_ms)
    gateway.measure(18)
    assert gateway.seal() == []
    gateway.synchronise(NOW_MS)
    gateway.measure(2)
    assert times(gateway.seal()) == spaced(NOW_MS - 180_000, 20)
    assert [each.flags for each in gateway.sealed] == [RESTAMPED] * 18 + [BELIEVED] * 2


def test_a_synchronisation_after_the_wait_restamps_what_has_not_gone_out() -> None:
    gateway = Gateway(0)
    gateway.measure(40)
    gateway.synchronise(NOW_MS)
    assert times(gateway.seal()) == spaced(NOW_MS - 400_000, 40)
    assert flags(gateway.sealed) == {RESTAMPED}


def test_a_reading_from_before_a_restart_of_the_agent_is_restamped_too() -> None:
    gateway = Gateway(0)
    gateway.measure(5)
    gateway.restart()
    gateway.synchronise(NOW_MS)
    assert times(gateway.seal()) == spaced(NOW_MS - 50_000, 5)


def test_a_suspended_machine_is_restamped_with_the_time_that_it_slept() -> None:
    gateway = Gateway(0)
    gateway.measure()
    gateway.clock.advance(HOUR_S - 10)  # both clocks count a suspend
    gateway.measure()
    gateway.synchronise(NOW_MS)
    first, second = times(gateway.seal())
    assert second - first == HOUR_S * 1000


def test_a_kernel_that_calls_1970_synchronised_is_not_believed() -> None:
    gateway = Gateway(0, synced=True)
    gateway.measure()
    assert gateway.seal() == []
    assert not gateway.keeper.synced() and gateway.keeper.error_ns() is None


def test_the_uncertainty_is_told_while_the_clock_is_believed() -> None:
    assert Gateway(NOW_MS, synced=True).keeper.error_ns() == 1_000_000
    assert Gateway(NOW_MS).keeper.error_ns() is None


# --- a clock that never comes right ---------------------------------------------------------------


def test_without_a_synchronisation_readings_go_out_after_the_wait_marked_and_with_no_more_delay() -> None:
    gateway = Gateway(NOW_MS)
    gateway.measure(29)
    assert gateway.seal() == []
    gateway.measure(1)
    assert len(gateway.seal()) == 30
    gateway.measure(1)
    assert len(gateway.seal()) == 1
    assert times(gateway.sealed) == spaced(NOW_MS, 31)
    assert flags(gateway.sealed) == {Flag.NONE}


def test_nothing_is_held_when_the_wait_is_nothing() -> None:
    gateway = Gateway(NOW_MS, wait_s=0)
    gateway.measure()
    assert [(each.at_ms, each.flags) for each in gateway.seal()] == [(NOW_MS, Flag.NONE)]


@pytest.mark.parametrize("wall_ms", [0, -5_000, NOW_MS - DAY_S * 1000])
def test_a_clock_behind_what_the_spool_knows_goes_on_from_there(wall_ms: int) -> None:
    gateway = Gateway(wall_ms, floor_ms=NOW_MS, wait_s=0)
    gateway.measure(3)
    assert times(gateway.seal()) == spaced(NOW_MS, 3)
    assert flags(gateway.sealed) == {Flag.NONE}
    assert gateway.keeper.wall_ms() == NOW_MS + 30_000


def test_a_spool_that_opens_late_still_lifts_the_floor() -> None:
    gateway = Gateway(0, wait_s=0)
    gateway.measure(3)
    gateway.keeper.know(NOW_MS)
    assert times(gateway.seal()) == spaced(NOW_MS, 3)
    gateway.keeper.know(NOW_MS - HOUR_S)
    assert gateway.keeper.wall_ms() == NOW_MS + 30_000


def test_a_spool_that_is_opened_again_does_not_lift_the_floor_by_what_this_agent_gave_it() -> None:
    gateway = Gateway(0, floor_ms=NOW_MS, wait_s=0)
    for _ in range(5):
        gateway.measure(10)
        gateway.keeper.know(gateway.seal()[-1].at_ms)
    assert times(gateway.sealed) == spaced(NOW_MS, 50)


@pytest.mark.parametrize(
    ("wall_ms", "told_ms", "expected"),
    [
        (NOW_MS, NOW_MS - 1_000, NOW_MS - 1_000),
        (NOW_MS, 5_000, NOW_MS),
        (NOW_MS, NOW_MS + 1, NOW_MS),
        (0, 5_000, NOW_MS - DAY_S * 1000),
    ],
)
def test_what_the_spool_tells_of_itself_is_in_no_impossible_time(
    wall_ms: int, told_ms: int, expected: int
) -> None:
    gateway = Gateway(wall_ms, floor_ms=NOW_MS - DAY_S * 1000)
    told = Taken(Reading("host", "gap", told_ms, (1, None, None, 5, None, None)))
    settled = gateway.keeper.settle(told)
    assert settled is not None and (settled.at_ms, settled.flags) == (expected, Flag.NONE)


def test_an_agent_started_again_and_again_does_not_run_ahead_of_the_time_that_passes() -> None:
    """The time since boot is not added to a floor of the same boot."""
    gateway = Gateway(0, floor_ms=NOW_MS, wait_s=0)
    for _ in range(10):
        gateway.measure(2)
        gateway.seal()
        gateway.restart()
    assert times(gateway.sealed)[-1] <= NOW_MS + 190_000
    assert times(gateway.sealed) == sorted(times(gateway.sealed))


def test_what_an_agent_left_when_it_was_started_anew_keeps_its_distances() -> None:
    gateway = Gateway(0, floor_ms=NOW_MS, wait_s=0)
    gateway.measure(3)
    gateway.keeper = Timekeeper(gateway.clock, 0, NOW_MS)
    gateway.measure(3)
    assert times(gateway.seal()) == spaced(NOW_MS, 6)


def test_a_clock_set_by_hand_is_followed_though_it_is_not_called_synchronised() -> None:
    gateway = Gateway(0)
    gateway.measure(2)
    gateway.clock.step(NOW_MS / 1000)
    gateway.clock.advance(WAIT_S)
    assert times(gateway.seal()) == spaced(NOW_MS, 2)


def test_a_wall_clock_before_1970_is_told_as_1970() -> None:
    gateway = Gateway(-50_000, wait_s=0)
    gateway.measure()
    assert gateway.keeper.wall_ms() >= 0
    assert times(gateway.seal()) == [20_000], "it has been up for 20 s, so it is later than that"


# --- earlier boots --------------------------------------------------------------------------------


def cut_before_it_was_synchronised(wall_ms: int, later_ms: int) -> Gateway:
    """Sealed up to NOW_MS, then a boot of 3 readings with that clock, then another."""
    gateway = Gateway(wall_ms, floor_ms=NOW_MS)
    gateway.measure(3)
    gateway.power_cut(later_ms)
    gateway.keeper = Timekeeper(gateway.clock, WAIT_S, NOW_MS)
    return gateway


def test_a_power_cut_before_the_synchronisation_leaves_times_from_what_was_known_on() -> None:
    gateway = cut_before_it_was_synchronised(0, 0)
    gateway.synchronise(NOW_MS + HOUR_S * 1000)
    gateway.measure(1)
    assert times(gateway.seal()) == [*spaced(NOW_MS, 3), NOW_MS + HOUR_S * 1000]
    assert [each.flags for each in gateway.sealed] == [Flag.NONE] * 3 + [BELIEVED]


def test_a_time_of_an_earlier_boot_that_fits_is_kept() -> None:
    gateway = cut_before_it_was_synchronised(NOW_MS + 600_000, 0)
    gateway.synchronise(NOW_MS + HOUR_S * 1000)
    assert times(gateway.seal()) == spaced(NOW_MS + 600_000, 3)
    assert flags(gateway.sealed) == {Flag.NONE}


def test_a_time_of_an_earlier_boot_is_never_after_this_one_began() -> None:
    gateway = cut_before_it_was_synchronised(NOW_MS + TEN_YEARS_S * 1000, 0)
    gateway.synchronise(NOW_MS + 25_000)
    booted_ms = NOW_MS + 5_000
    assert times(gateway.seal()) == [NOW_MS, booted_ms, booted_ms]


def test_what_a_synchronised_clock_stamped_before_a_power_cut_is_a_floor_too() -> None:
    """It was not sealed, so the spool does not tell of it."""
    gateway = Gateway(NOW_MS, synced=True, wait_s=0)
    gateway.measure(2)
    for _ in range(2):
        gateway.power_cut(0)
        gateway.measure(2)
    sealed = times(gateway.seal())
    assert sealed[:2] == spaced(NOW_MS, 2)
    assert sealed == sorted(sealed)
    assert flags(gateway.sealed[2:]) == {Flag.NONE}


def test_the_boot_after_a_synchronised_one_goes_on_from_it() -> None:
    gateway = Gateway(NOW_MS, synced=True, wait_s=0)
    gateway.measure(2)
    gateway.power_cut(0)
    gateway.measure(2)
    assert times(gateway.seal()) == [*spaced(NOW_MS, 2), *spaced(NOW_MS + 10_000, 2)]


def test_readings_of_an_earlier_boot_do_not_wait_again() -> None:
    gateway = cut_before_it_was_synchronised(0, 0)
    gateway.measure(1)
    assert len(gateway.seal()) == 3 and len(gateway.journal) == 1


def test_boots_that_never_know_the_time_come_one_after_another() -> None:
    gateway = Gateway(0, floor_ms=NOW_MS)
    for _ in range(4):
        gateway.measure(3)
        gateway.power_cut(0)
    gateway.keeper = Timekeeper(gateway.clock, WAIT_S, NOW_MS)
    gateway.measure(1)
    gateway.clock.advance(WAIT_S)
    sealed = times(gateway.seal())
    assert len(sealed) == 13 and sealed == sorted(sealed)
    assert sealed[0] == NOW_MS and sealed[-1] >= sealed[-2] + 20_000


def test_a_sealing_that_is_tried_again_gives_the_same_times() -> None:
    gateway = Gateway(0, floor_ms=NOW_MS)
    for _ in range(3):
        gateway.measure(3)
        gateway.power_cut(0)
    gateway.keeper = Timekeeper(gateway.clock, 0, NOW_MS)
    gateway.measure(3)
    tries = [[gateway.keeper.settle(each) for each in gateway.journal] for _ in range(3)]
    assert tries[0] == tries[1] == tries[2]


def test_the_boots_that_are_remembered_are_bounded() -> None:
    keeper = Timekeeper(ManualClock(0, synced=False), 0, NOW_MS)
    for boot in range(10 * BOOTS_MAX):
        keeper.settle(Taken(READING, f"earlier {boot}", 20_000))
    assert len(keeper._earlier) <= BOOTS_MAX + 1


# --- a clock that is set though it was right ------------------------------------------------------


def test_a_clock_that_is_set_back_by_an_hour_by_hand_costs_nothing() -> None:
    """Setting it clears the kernel's synchronised; the daemon then sets it right again."""
    gateway = Gateway(NOW_MS, synced=True)
    gateway.measure(3)
    gateway.clock.step(-HOUR_S)
    gateway.clock.is_synced = False
    gateway.measure(3)
    assert gateway.seal() == [], "held until it is known which of both is right"
    gateway.clock.step(HOUR_S)
    gateway.clock.is_synced = True
    gateway.measure(3)
    gateway.seal()
    assert times(gateway.sealed) == spaced(NOW_MS, 9)
    assert [each.flags for each in gateway.sealed] == [BELIEVED] * 3 + [RESTAMPED] * 3 + [BELIEVED] * 3


def test_a_clock_that_is_set_by_hand_and_stays_so_does_not_move_the_readings() -> None:
    gateway = Gateway(NOW_MS, synced=True)
    gateway.measure(3)
    gateway.clock.step(-HOUR_S)
    gateway.clock.is_synced = False
    gateway.measure(60)
    gateway.seal()
    assert times(gateway.sealed) == spaced(NOW_MS, 63)
    assert flags(gateway.sealed[3:]) == {Flag.NONE}
    assert gateway.keeper.wall_ms() == NOW_MS + 630_000


def test_ten_years_ahead_and_corrected_leaves_no_trace() -> None:
    gateway = Gateway(NOW_MS, synced=True)
    gateway.measure(3)
    gateway.clock.step(TEN_YEARS_S)  # and the kernel calls it synchronised
    gateway.measure(12)
    gateway.seal()
    gateway.clock.step(-TEN_YEARS_S)
    gateway.measure(3)
    gateway.seal()
    assert times(gateway.sealed) == spaced(NOW_MS, 18)
    assert [each.flags for each in gateway.sealed] == [BELIEVED] * 3 + [RESTAMPED] * 12 + [BELIEVED] * 3


def test_a_synchronised_clock_that_stays_where_it_was_set_is_believed_again() -> None:
    """A virtual machine that was paused: its time since boot stood still, too."""
    gateway = Gateway(NOW_MS, synced=True)
    gateway.measure(1)
    gateway.clock.step(2 * HOUR_S)
    gateway.measure(29)
    assert len(gateway.seal()) == 1
    gateway.measure(3)
    gateway.seal()
    assert times(gateway.sealed[1:]) == spaced(NOW_MS + 2 * HOUR_S * 1000 + 10_000, 32)
    assert flags(gateway.sealed[1:]) == {RESTAMPED, BELIEVED}


def test_what_was_stamped_ten_years_ahead_before_it_was_known_is_not_sealed_so() -> None:
    gateway = Gateway(NOW_MS + TEN_YEARS_S * 1000, synced=True)
    gateway.measure(3)
    gateway.clock.step(-TEN_YEARS_S)
    assert gateway.seal() == [], "held until it is known which of both is right"
    gateway.clock.advance(WAIT_S)
    gateway.seal()
    assert times(gateway.sealed) == [NOW_MS + 330_000] * 3
    assert flags(gateway.sealed) == {Flag.CLOCK_STEPPED}


def test_a_clock_that_is_set_for_ever_holds_nothing_back_for_ever() -> None:
    gateway = Gateway(NOW_MS, synced=True)
    for _ in range(40):
        gateway.clock.step(HOUR_S)
        gateway.measure()
    gateway.seal()
    assert gateway.journal == []
    assert max(times(gateway.sealed)) < NOW_MS + HOUR_S * 1000


def test_a_small_step_is_followed_at_once(caplog: pytest.LogCaptureFixture) -> None:
    gateway = Gateway(NOW_MS, synced=True)
    gateway.measure()
    gateway.clock.step(DOUBT_S / 2)
    gateway.measure()
    assert times(gateway.seal()) == [NOW_MS, NOW_MS + 40_000]
    assert flags(gateway.sealed) == {BELIEVED}
    assert caplog.messages == ["the clock was set by +30.0 s"]


def test_small_steps_do_not_keep_a_clock_in_doubt() -> None:
    gateway = Gateway(NOW_MS, synced=True)
    gateway.clock.step(HOUR_S)
    for _ in range(35):
        gateway.measure()
        gateway.clock.step(0.2)
    assert gateway.keeper.synced()


@pytest.mark.parametrize("leap_s", [-1, 1])
def test_a_leap_second_is_no_step(leap_s: int, caplog: pytest.LogCaptureFixture) -> None:
    gateway = Gateway(NOW_MS, synced=True)
    gateway.measure()
    gateway.clock.is_leaping = True
    gateway.clock.step(leap_s)
    gateway.measure()
    assert times(gateway.seal()) == [NOW_MS, NOW_MS + 10_000 + leap_s * 1000]
    assert flags(gateway.sealed) == {BELIEVED}
    assert caplog.messages == []


def test_a_smeared_leap_second_is_no_step(caplog: pytest.LogCaptureFixture) -> None:
    gateway = Gateway(NOW_MS, synced=True)
    for _ in range(1000):
        gateway.measure()
        gateway.clock.step(-0.001)
    gateway.seal()
    assert flags(gateway.sealed) == {BELIEVED}
    assert caplog.messages == []


def test_a_flickering_kernel_delays_nothing_and_is_told_seldom(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    gateway = Gateway(NOW_MS, synced=True)
    for turn in range(1000):
        gateway.clock.is_synced = turn % 2 == 0
        gateway.measure()
        gateway.seal()
        assert len(gateway.journal) == 0
    assert times(gateway.sealed) == spaced(NOW_MS, 1000)
    assert flags(gateway.sealed) == {Flag.NONE, BELIEVED}
    assert 2 <= len(caplog.messages) <= 6 * (10_000 / HOUR_S + 1)


def test_a_lost_synchronisation_is_held_by_the_time_since_boot() -> None:
    gateway = Gateway(NOW_MS, synced=True)
    gateway.measure()
    gateway.clock.is_synced = False
    for _ in range(100):
        gateway.clock.advance(DAY_S / 100)
        gateway.clock.step(0.05)  # the crystal
        gateway.keeper.look()
    gateway.measure()
    gateway.clock.step(-1000)
    gateway.measure()
    assert times(gateway.seal()) == [NOW_MS, *spaced(NOW_MS + (DAY_S + 15) * 1000, 2)]
    assert [each.flags for each in gateway.sealed] == [BELIEVED, Flag.NONE, Flag.NONE]


# --- what is logged -------------------------------------------------------------------------------


def test_an_unsynchronised_start_and_the_synchronisation_are_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    gateway = Gateway(0)
    gateway.measure(18)
    gateway.synchronise(NOW_MS)
    gateway.measure(100)
    gateway.seal()
    assert caplog.messages == [
        "the clock is not synchronised (it says 1970-01-01 00:00 UTC): readings wait up to 300 s for it,"
        " then go out with times marked as such",
        "the clock is synchronised; since the start it has moved by +20405.1 days",
    ]


def test_a_clock_that_never_comes_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    gateway = Gateway(NOW_MS, wait_s=0)
    gateway.measure(1000)
    gateway.seal()
    assert caplog.messages == [
        "the clock is not synchronised (it says 2025-11-13 02:13 UTC): readings go out with times marked as"
        " such"
    ]


def test_a_step_of_a_synchronised_clock_is_told(caplog: pytest.LogCaptureFixture) -> None:
    gateway = Gateway(NOW_MS, synced=True)
    gateway.clock.step(-HOUR_S)
    gateway.measure(2)
    assert caplog.messages == ["the clock was set by -3600.0 s; not believed for 300 s"]


def test_what_is_said_too_often_is_kept_until_there_is_room() -> None:
    seldom = Seldom(2, 10)
    assert [seldom.may(now) for now in (0, 1, 2, 9, 10, 10.5, 11)] == [
        True,
        True,
        False,
        False,
        True,
        False,
        True,
    ]


# --- whatever happens -----------------------------------------------------------------------------

Event = tuple[str, float]
EVENTS = st.one_of(
    st.tuples(st.just("measure"), st.just(0.0)),
    st.tuples(st.just("seal"), st.just(0.0)),
    st.tuples(st.just("advance"), st.floats(0, 1_000)),
    st.tuples(st.just("step"), st.sampled_from([-4e8, -3_600.0, -0.5, 0.01, 1.0, 90.0, 3_600.0, 4e8])),
    st.tuples(st.just("synced"), st.sampled_from([0.0, 1.0])),
    st.tuples(st.just("power cut"), st.sampled_from([-9.0, 0.0, NOW_MS / 1000 - DAY_S, NOW_MS / 1000])),
    st.tuples(st.just("restart"), st.just(0.0)),
)


def play(gateway: Gateway, event: Event) -> None:
    match event:
        case "measure", _:
            gateway.measure(1, 1)
        case "seal", _:
            gateway.seal()
        case "advance", seconds:
            gateway.clock.advance(seconds)
        case "step", seconds:
            gateway.clock.step(seconds)
        case "synced", value:
            gateway.clock.is_synced = bool(value)
        case "power cut", seconds:
            gateway.power_cut(round(seconds * 1000))
        case "restart", _:
            gateway.restart()


@given(st.lists(EVENTS, max_size=60), st.sampled_from([0.0, WAIT_S]))
def test_every_reading_is_sealed_in_the_end_and_none_in_a_time_that_is_to_come(
    events: list[Event], wait_s: float
) -> None:
    gateway = Gateway(NOW_MS, wait_s=wait_s)
    for event in events:
        before = len(gateway.sealed)
        play(gateway, event)
        now_ms = gateway.keeper.wall_ms()
        for each in gateway.sealed[before:]:
            assert 0 <= each.at_ms < 1 << 63
            if Flag.CLOCK_SYNCED not in each.flags or Flag.RESTAMPED in each.flags:
                assert each.at_ms <= now_ms
    taken = sum(event[0] == "measure" for event in events)
    gateway.clock.advance(2 * WAIT_S)
    gateway.seal()
    assert len(gateway.sealed) == taken and gateway.journal == []


@given(st.lists(st.floats(0.01, 100), min_size=2, max_size=30), st.integers(-10_000, NOW_MS))
def test_a_restamped_reading_is_right_to_the_millisecond(waits: list[float], wall_ms: int) -> None:
    gateway = Gateway(wall_ms, wait_s=1e9)
    for wait in waits:
        gateway.measure(1, wait)
    gateway.synchronise(NOW_MS)
    gaps = [later - earlier for earlier, later in pairwise(times(gateway.seal()))]
    assert all(abs(gap - 1000 * wait) <= 2 for gap, wait in zip(gaps, waits, strict=False))
    assert abs(gateway.sealed[-1].at_ms - (NOW_MS - 1000 * waits[-1])) <= 2


# --- with the scheduler ---------------------------------------------------------------------------


class Answering:
    """A probe that takes a second of the gateway's time."""

    kind = "connect"

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    async def __call__(self, link: ProbedLink) -> Measurement:
        self._clock.advance(1)
        return Measurement("connect", VALUES)

    def close(self) -> None:
        pass


def test_rounds_of_the_scheduler_before_and_after_the_synchronisation_end_up_one_after_another() -> None:
    gateway = Gateway(0)
    series = Series(ProbedLink("a"), "connect", Answering(gateway.clock), 10, 5)
    scheduler = Scheduler([series], gateway.keeper, random.Random(1), gateway.journal.append)
    for turn in range(6):
        if turn == 3:
            gateway.synchronise(NOW_MS)
        asyncio.run(scheduler.run_once())
    gateway.seal()
    assert times(gateway.sealed) == [NOW_MS + 1000 * turn for turn in range(-3, 3)]
    assert [each.flags for each in gateway.sealed] == [RESTAMPED] * 3 + [BELIEVED] * 3


def test_through_a_spool_a_power_cut_and_a_late_synchronisation_every_reading_arrives_with_its_time() -> None:
    """Scheduler, spool on a disk that loses what was not synced, sealing, and the decoder of the cloud."""
    disk, gateway = MemoryDisk(), Gateway(NOW_MS, synced=True)
    spool = opened(disk)

    def rounds(turns: int) -> None:
        series = Series(ProbedLink("a"), "connect", Answering(gateway.clock), 10, 5)
        scheduler = Scheduler([series], gateway.keeper, random.Random(1), gateway.journal.append)
        for _ in range(turns):
            asyncio.run(scheduler.run_once())
        spool.append(gateway.journal)
        gateway.journal.clear()

    rounds(2)
    assert spool.seal(gateway.keeper.wall_ms(), gateway.keeper.settle) == 1
    gateway.clock.reboot(0, "never synchronised")
    gateway.keeper = Timekeeper(gateway.clock, WAIT_S, spool.latest_ms())
    rounds(3)
    assert spool.seal(gateway.keeper.wall_ms(), gateway.keeper.settle) == 0
    disk = disk.after_power_cut(random.Random(1))
    spool = opened(disk)
    gateway.clock.reboot(0, "synchronised late")
    gateway.keeper = Timekeeper(gateway.clock, WAIT_S, spool.latest_ms())
    rounds(4)
    gateway.synchronise(NOW_MS + HOUR_S * 1000)
    spool.seal(gateway.keeper.wall_ms(), gateway.keeper.settle)
    arrived = [each for sealed in spool.pending(99) for each in decode(sealed.payload).readings]
    first, cut, last = arrived[:2], arrived[2:5], arrived[5:]
    assert times(first) == [NOW_MS, NOW_MS + 1_000]
    assert times(cut) == [NOW_MS + 1_000 * turn for turn in (1, 2, 3)]
    assert times(last) == [NOW_MS + HOUR_S * 1000 - 1_000 * turn for turn in (4, 3, 2, 1)]
    assert [flags(each) for each in (first, cut, last)] == [{BELIEVED}, {Flag.NONE}, {RESTAMPED}]
    spool.close()


def opened(disk: MemoryDisk) -> Spool:
    return Spool(disk, "gateway", [Link("a")], 1 << 20, 40, now_s=lambda: NOW_MS / 1000)


def test_a_round_in_which_the_clock_is_doubted_says_so() -> None:
    gateway = Gateway(NOW_MS, synced=True)

    class Setting(Answering):
        async def __call__(self, link: ProbedLink) -> Measurement:
            gateway.clock.step(-HOUR_S)
            return await super().__call__(link)

    series = Series(ProbedLink("a"), "connect", Setting(gateway.clock), 10, 5)
    asyncio.run(Scheduler([series], gateway.keeper, random.Random(1), gateway.journal.append).run_once())
    assert gateway.seal() == []
    gateway.clock.step(HOUR_S)
    (reading,) = gateway.seal()
    assert reading == Reading("a", "connect", NOW_MS, VALUES, Flag.CLOCK_STEPPED | BELIEVED)
