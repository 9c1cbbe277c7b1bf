"""Clock: the machine's clocks, and whether the wall clock is believed."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path

import pytest

from edge_agent.clock import (
    Clock,
    Look,
    ManualClock,
    SystemClock,
    Timex,
    discipline,
    error_ns,
    is_synced,
    moved_s,
    read_together,
)


def kernel(status: int, result: int = 0) -> bool:
    """What is made of a kernel that answers adjtimex(2) so."""

    def adjtimex(timex: Timex) -> int:
        assert timex.modes == 0, "a mode would set the clock"
        timex.status = status
        return result

    return is_synced(adjtimex)


def test_a_clock_is_synced_when_the_kernel_does_not_say_unsync() -> None:
    assert kernel(0x0001)
    assert not kernel(0x0041)


def test_a_refused_call_is_unsynced() -> None:
    assert not kernel(0x0001, result=-1)


@pytest.mark.parametrize(
    ("status", "result", "expected"), [(0x0001, 0, 1_500_000), (0x0041, 5, None), (0x0001, -1, None)]
)
def test_the_error_of_a_clock_is_known_only_while_it_is_synced(
    status: int, result: int, expected: int | None
) -> None:
    def adjtimex(timex: Timex) -> int:
        timex.status, timex.maxerror = status, 1500
        return result

    assert error_ns(adjtimex) == expected


def test_the_status_is_read_where_the_kernel_writes_it() -> None:
    """adjtimex(2) returns TIME_ERROR (5) whenever STA_UNSYNC is set, which checks the layout."""
    libc, timex = ctypes.CDLL(None), Timex()
    state = libc.adjtimex(ctypes.byref(timex))
    if state < 0:
        pytest.skip("adjtimex is not permitted here")
    unsynced = bool(timex.status & 0x40)
    assert state == 5 or not unsynced
    assert timex.maxerror > 0, "zero would mean that the kernel wrote elsewhere"
    assert SystemClock().synced() is not unsynced
    assert (SystemClock().error_ns() is None) is unsynced


def test_wall_time_is_in_milliseconds() -> None:
    before = time.time_ns() // 1_000_000
    assert before <= SystemClock().wall_ms() <= time.time_ns() // 1_000_000


def test_monotonic_time_counts_from_boot_and_does_not_go_back() -> None:
    clock = SystemClock()
    first, second = clock.monotonic(), clock.monotonic()
    assert first <= second
    assert second == pytest.approx(float(Path("/proc/uptime").read_text().split()[0]), abs=60)


def test_the_boot_id_is_the_same_for_every_clock_of_a_boot() -> None:
    assert SystemClock().boot_id() == SystemClock().boot_id() != ""


def test_a_manual_clock_moves_only_when_told() -> None:
    clock = ManualClock(1000, synced=False)
    clock.advance(1.5)
    assert (clock.wall_ms(), clock.monotonic(), clock.synced()) == (2500, 1.5, False)


def test_a_step_moves_the_wall_clock_alone() -> None:
    clock = ManualClock(1000)
    clock.step(-0.5)
    assert (clock.wall_ms(), clock.monotonic()) == (500, 0)


# --- looks, steps and leaps -----------------------------------------------------------------------


@pytest.mark.parametrize("clock", [ManualClock(since_boot_s=60), SystemClock()])
def test_a_look_agrees_with_every_single_answer_of_its_clock(clock: Clock) -> None:
    look = clock.look()
    assert abs(clock.wall_ms() - look.wall_ms) < 60_000
    assert 0 < clock.monotonic() - look.since_boot_s + 1 < 60
    assert look.synced is clock.synced() is (clock.error_ns() is not None)
    assert look.ahead_s == pytest.approx(look.wall_ms / 1000 - look.since_boot_s, abs=0.01)
    assert moved_s(look, clock.look()) == 0


@pytest.mark.parametrize(
    ("state", "status", "expected"),
    [
        (0, 0x0001, (True, False)),
        (1, 0x0011, (True, True)),
        (2, 0x0021, (True, True)),
        (3, 0x0011, (True, True)),
        (4, 0x0001, (True, True)),
        (5, 0x0051, (False, True)),
        (5, 0x0041, (False, False)),
        (-1, 0x0010, (False, False)),
    ],
)
def test_a_leap_second_is_what_the_kernel_announces_runs_or_has_just_had(
    state: int, status: int, expected: tuple[bool, bool]
) -> None:
    def adjtimex(timex: Timex) -> int:
        timex.status = status
        return state

    assert discipline(adjtimex) == expected


def looked(since_boot_s: float, ahead_s: float, leaping: bool = False) -> Look:
    return Look(round((since_boot_s + ahead_s) * 1000), since_boot_s, ahead_s, True, leaping)


@pytest.mark.parametrize(
    ("later_s", "moved", "leaping", "expected"),
    [
        (5, 0.09, False, 0),
        (5, 0.15, False, 0.15),
        (5, -3600, False, -3600),
        (3600, 1.7, False, 0),  # slewed at 500 ppm for an hour
        (3600, 2.5, False, 2.5),
        (5, -1, True, 0),
        (5, 1, True, 0),
        (5, -1, False, -1),
        (5, -2, True, -2),
    ],
)
def test_a_step_is_more_than_slewing_and_no_leap_second(
    later_s: float, moved: float, leaping: bool, expected: float
) -> None:
    found = moved_s(looked(10, 1e9), looked(10 + later_s, 1e9 + moved, leaping))
    assert found == pytest.approx(expected)


def test_two_clocks_are_read_again_when_the_process_was_put_off_in_between() -> None:
    since_boot = iter([0, 900_000_000, 1_000_000_000, 1_000_000_400])
    wall = iter([900_000_000, 1_000_000_200])
    assert read_together(lambda: next(wall), lambda: next(since_boot)) == (1_000_000_200, 1_000_000_200)


def test_a_process_that_is_always_put_off_takes_the_best_it_got() -> None:
    since_boot = iter([0, 50_000_000, 100_000_000, 120_000_000, 200_000_000, 290_000_000])
    wall = iter([1, 2, 3])
    assert read_together(lambda: next(wall), lambda: next(since_boot)) == (2, 110_000_000)


def test_a_new_boot_of_a_manual_clock_counts_anew() -> None:
    clock = ManualClock(since_boot_s=100)
    clock.reboot(5_000, "second")
    clock.advance(2)
    assert (clock.wall_ms(), clock.monotonic(), clock.boot_id(), clock.synced()) == (
        7_000,
        2,
        "second",
        False,
    )
