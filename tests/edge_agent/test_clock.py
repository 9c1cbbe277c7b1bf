"""Clock: the machine's clocks, and whether the wall clock is believed."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path

import pytest

from edge_agent.clock import ManualClock, SystemClock, Timex, error_ns, is_synced


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
