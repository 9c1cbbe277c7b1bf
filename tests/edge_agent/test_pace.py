"""Pace: sooner while a link changes, later while it is quiet, never more rounds than were paid for."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.contract import Flag, Outcome, Reading, not_measured, row
from edge_agent.pace import FASTEST, SAVED_MAX, SLOWEST, Level, Pace, Watch

PERIOD_S = 10.0


def echo(p50_us: int | None = 20_000, received: int = 5, flags: Flag = Flag.NONE) -> Reading:
    return Reading("a", "echo", 0, row("echo", sent=5, received=received, rtt_p50_us=p50_us), flags)


def changes(*readings: Reading) -> list[bool]:
    watch = Watch()
    return [watch.is_change(reading) for reading in readings]


# --- what is a change -----------------------------------------------------------------------------


def test_a_link_as_it_was_is_no_change_and_neither_is_the_first_reading() -> None:
    assert not any(changes(*[echo()] * 20))
    assert changes(not_measured("a", "echo", 0, Outcome.DENIED)) == [False]


@pytest.mark.parametrize(
    "after",
    [
        echo(30_000),
        echo(10_000),
        echo(20_000, received=4),
        echo(None, received=0),
        echo(flags=Flag.PATH_CHANGED),
        not_measured("a", "echo", 0, Outcome.UNREACHABLE),
    ],
)
def test_a_shift_of_delay_loss_path_or_outcome_is_a_change(after: Reading) -> None:
    assert changes(*[echo()] * 20, after)[-1]


def test_the_usual_variation_of_a_link_is_no_change() -> None:
    rng = random.Random(1)
    noisy = [echo(20_000 + rng.randrange(8_000), received=5 - (rng.random() < 0.3)) for _ in range(500)]
    assert sum(changes(*noisy)) < 500 * 0.05


def test_a_link_that_comes_and_goes_is_changing_however_long_it_does() -> None:
    assert all(changes(*[echo(), echo(None, received=0)] * 100)[1:])


def test_a_new_level_is_usual_after_a_while() -> None:
    seen = changes(*[echo(20_000)] * 20, *[echo(40_000)] * 30)
    assert seen[20] and not any(seen[-20:])


def test_a_difference_that_no_user_would_feel_is_no_change() -> None:
    assert not any(changes(*[echo(300)] * 20, echo(450)))


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("interface", {"up": 1, "speed_kbps": 1_000_000}, {"up": 1, "speed_kbps": 100_000}),
        ("interface", {"up": 1}, {"up": 0}),
        ("http", {"sent": 1, "answered": 1, "status": 200}, {"sent": 1, "answered": 1, "status": 503}),
        ("dns", {"sent": 3, "answered": 3, "rcode": 0}, {"sent": 3, "answered": 3, "rcode": 2}),
        ("path", {"hop": 1, "changed": 0}, {"hop": 1, "changed": 1}),
        ("connect", {"sent": 3, "connected": 3}, {"sent": 3, "connected": 2}),
    ],
)
def test_each_kind_has_its_signs_of_change(kind: str, before: dict[str, int], after: dict[str, int]) -> None:
    first, second = (Reading("a", kind, 0, row(kind, **values)) for values in (before, after))
    assert changes(first, first, second) == [False, False, True]


def test_readings_without_a_measurement_leave_what_is_usual_alone() -> None:
    gone = not_measured("a", "echo", 0, Outcome.NO_INTERFACE)
    assert changes(*[echo()] * 20, *[gone] * 50, echo(), echo(30_000))[-2:] == [True, True]


@given(st.lists(st.floats(0, 1e12), max_size=50))
def test_a_level_takes_any_values(values: list[float]) -> None:
    level = Level(0.05, 200)
    assert all(level.is_shift(value) in (True, False) for value in values)


# --- how often ------------------------------------------------------------------------------------


def begun(readings: Iterable[Reading]) -> list[float]:
    """When the rounds with these readings begin, s."""
    pace = Pace(PERIOD_S)
    at = [0.0]
    for reading in readings:
        at.append(at[-1] + pace.interval_s(at[-1], reading))
    return at


def flapping(rounds: int) -> list[Reading]:
    """A link whose probe can and cannot measure, in turns."""
    away = not_measured("a", "echo", 0, Outcome.UNREACHABLE)
    return [echo() if turn % 2 else away for turn in range(rounds)]


def steps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times)]


def test_a_quiet_link_is_probed_at_the_slowest_in_the_end() -> None:
    waits = steps(begun([echo()] * 20))
    assert waits == sorted(waits)
    assert waits[-1] == SLOWEST * PERIOD_S


def test_a_change_is_followed_at_once_at_the_fastest() -> None:
    waits = steps(begun([echo()] * 30 + [echo(40_000)] * 3))
    assert waits[-3] == FASTEST * PERIOD_S


def test_a_link_that_never_rests_is_probed_at_its_period_and_no_more() -> None:
    assert steps(begun(flapping(200)))[2:] == pytest.approx([PERIOD_S] * 198)


def test_what_a_quiet_night_has_saved_is_bounded() -> None:
    night = begun([echo()] * 10_000)
    storm = begun([echo()] * 10_000 + flapping(1_000))
    fast = [wait for wait in steps(storm)[10_000:] if wait < PERIOD_S * 0.99]
    assert len(night) == 10_001
    assert SAVED_MAX < len(fast) < 1.4 * SAVED_MAX


@given(st.lists(st.booleans(), min_size=1, max_size=600), st.integers(0, 600), st.integers(0, 600))
def test_no_time_has_more_rounds_than_its_periods_and_the_savings(
    restless: list[bool], first: int, last: int
) -> None:
    levels = accumulate(restless, lambda level, moved: level * 2 % 1_000_003 if moved else level, initial=7)
    times = begun(echo(int(level)) for level in levels)
    for wait in steps(times):
        assert FASTEST * PERIOD_S <= wait <= SLOWEST * PERIOD_S
    some = times[min(first, last) : max(first, last) + 1]
    if some:
        assert len(some) <= (some[-1] - some[0]) / PERIOD_S + SAVED_MAX + 1 + 1e-6
    assert len(times) <= times[-1] / PERIOD_S + 1 + 1e-6
