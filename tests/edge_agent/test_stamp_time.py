"""STAMP's times: NTP timestamps across eras, PTP ones, and error estimates that never understate."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.probes.stamp_time import error_estimate, error_ns, to_ns, to_ntp

NOW = 1_790_000_000_123_456_789
SECOND = 1_000_000_000
PTP = 0x4000


def test_1970_is_2208988800_seconds_after_the_ntp_epoch() -> None:
    assert to_ntp(0) == 2_208_988_800 << 32
    assert to_ntp(SECOND // 2) == 2_208_988_800 << 32 | 1 << 31


@given(st.integers(0, 1 << 62), st.integers(-50 * 365 * 86_400 * SECOND, 50 * 365 * 86_400 * SECOND))
def test_every_nanosecond_survives_in_the_era_nearest_to_now(wall_ns: int, apart_ns: int) -> None:
    """2036-02-07 begins the second era (RFC 5905 section 6)."""
    assert to_ns(to_ntp(wall_ns), 0, wall_ns + apart_ns) == wall_ns


def test_bit_z_says_that_a_timestamp_is_of_ptp() -> None:
    assert to_ns((NOW // SECOND) << 32 | NOW % SECOND, PTP | 1, NOW) == NOW


@given(st.integers(0, 16 * SECOND))
def test_an_error_is_never_understated_and_at_most_1_percent_overstated(error: int) -> None:
    told = error_ns(error_estimate(error))
    assert told is not None and error <= told <= error * 1.01 + 2


def test_an_unsynchronised_clock_says_so() -> None:
    assert not error_estimate(None) & 0x8000
    assert error_ns(error_estimate(None)) is None


@pytest.mark.parametrize("estimate", [0x8000, 0x8000 | PTP | 1, 0x0001])
def test_errors_that_cannot_be_compared_are_unknown(estimate: int) -> None:
    """No multiplier (forbidden by RFC 4656), a PTP clock (TAI or UTC), not synchronised."""
    assert error_ns(estimate) is None


@given(st.integers(0, 0xFFFF))
def test_every_estimate_can_be_read(estimate: int) -> None:
    told = error_ns(estimate)
    assert told is None or told > 0
