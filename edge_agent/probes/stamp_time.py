"""STAMP's timestamps and error estimates from and to nanoseconds (RFC 8762 section 4.2.1)."""

from __future__ import annotations

_EPOCH_S = 2_208_988_800
"""1970 in seconds of NTP's first era (RFC 5905 section 6)."""
_ERA_S = 1 << 32
_SECOND_NS = 1_000_000_000
_SYNCHRONISED, _PTP = 0x8000, 0x4000
_LARGEST_ERROR_NS = 16 * _SECOND_NS
"""What the kernel says of a clock that nothing disciplines (NTP_PHASE_LIMIT, timex.h)."""


def to_ntp(wall_ns: int) -> int:
    """CLOCK_REALTIME in ns as a 64-bit NTP timestamp, which keeps every nanosecond."""
    seconds, nanoseconds = divmod(wall_ns, _SECOND_NS)
    fraction = ((nanoseconds << 32) + _SECOND_NS // 2) // _SECOND_NS
    return ((seconds + _EPOCH_S) % _ERA_S) << 32 | fraction


def to_ns(timestamp: int, error: int, near_ns: int) -> int:
    """A timestamp in ns since 1970, in the era nearest to ``near_ns``; ``error`` tells its format.

    Bit Z of the error estimate stands for the truncated PTPv2 format: seconds and nanoseconds.
    """
    seconds, fraction = timestamp >> 32, timestamp & 0xFFFFFFFF
    if error & _PTP:
        return seconds * _SECOND_NS + fraction
    nanoseconds = (fraction * _SECOND_NS + (1 << 31)) >> 32
    wall_ns = (seconds - _EPOCH_S) * _SECOND_NS + nanoseconds
    eras = round((near_ns - wall_ns) / (_ERA_S * _SECOND_NS))
    return wall_ns + eras * _ERA_S * _SECOND_NS


def error_estimate(error_ns: int | None) -> int:
    """The Error Estimate field (RFC 4656 section 4.1.2) of an NTP clock; None: it is not synchronised.

    The error is rounded up, never down: multiplier x 2^scale in units of 2^-32 s.
    """
    units = -(
        -min(_LARGEST_ERROR_NS if error_ns is None else error_ns, _LARGEST_ERROR_NS) * _ERA_S // _SECOND_NS
    )
    units = max(units, 1)
    scale = max(units.bit_length() - 8, 0)
    multiplier = -(-units >> scale)
    if multiplier > 0xFF:
        scale, multiplier = scale + 1, 0x80
    return (0 if error_ns is None else _SYNCHRONISED) | scale << 8 | multiplier


def error_ns(estimate: int) -> int | None:
    """The error of a clock in ns; None when it is not synchronised to UTC, or would not be comparable.

    A PTP clock counts in TAI or in UTC, which its format does not tell; a multiplier of 0 is forbidden.
    """
    multiplier, scale = estimate & 0xFF, estimate >> 8 & 0x3F
    if not estimate & _SYNCHRONISED or estimate & _PTP or not multiplier:
        return None
    return -(-(multiplier << scale) * _SECOND_NS >> 32)
