"""Timekeeping with a clock that never comes right, and readings of earlier boots."""

from __future__ import annotations

import pytest

from edge_agent.clock import ManualClock
from edge_agent.contract import Flag, Reading
from edge_agent.taken import Taken
from edge_agent.timekeeping import BOOTS_MAX, Timekeeper
from tests.edge_agent.timekeeping_rig import (
    BELIEVED,
    DAY_S,
    HOUR_S,
    NOW_MS,
    READING,
    TEN_YEARS_S,
    WAIT_S,
    Gateway,
    flags,
    spaced,
    times,
)

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
