"""Timekeeping: a clock that comes right, what is logged of it, and whatever else happens to it."""

from __future__ import annotations

import logging
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.clock_trust import Seldom
from edge_agent.contract import Flag
from tests.edge_agent.timekeeping_rig import (
    BELIEVED,
    DAY_S,
    HOUR_S,
    NOW_MS,
    RESTAMPED,
    WAIT_S,
    Gateway,
    flags,
    spaced,
    times,
)

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
