"""Timekeeping when a clock is set though it was right: by hand, by years, or by a leap second."""

from __future__ import annotations

import logging

import pytest

from edge_agent.clock_trust import DOUBT_S
from edge_agent.contract import Flag
from tests.edge_agent.timekeeping_rig import (
    BELIEVED,
    DAY_S,
    HOUR_S,
    NOW_MS,
    RESTAMPED,
    TEN_YEARS_S,
    WAIT_S,
    Gateway,
    flags,
    spaced,
    times,
)


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
