"""How much of each window each purpose may fill: the lower its priority, the earlier it ends (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_agent.budget.calendar_windows import Span
from edge_agent.budget.spend import Purpose

MB = 1_000_000
LINK_MONTH_MB = 30
"""A month of one metered link with everything included, by default."""
DAY_PART, HOUR_PART = 10, 4
"""A day may use a tenth of the month, an hour a quarter of the day."""
SHARES: Mapping[Purpose, float] = {
    Purpose.ALARM: 1.0,
    Purpose.LIVE: 1.0,
    Purpose.CONTROL: 1.0,
    Purpose.PROBE: 0.98,
    Purpose.BACKFILL: 0.95,
    Purpose.SPEED: 0.92,
    Purpose.REFLECT: 0.90,
}
"""The part of a window up to which a purpose may fill it, less the reserve, which alarms may use too."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a metered interface may carry, bytes."""

    month: int
    day: int
    hour: int
    reserve: float = 0.05
    """The part of each window that only alarms may use."""

    def limit(self, span: Span) -> int:
        """Of a whole window."""
        return {Span.HOUR: self.hour, Span.DAY: self.day, Span.MONTH: self.month}[span]

    def ceiling(self, span: Span, purpose: Purpose) -> int:
        """Up to where a purpose may fill a window."""
        reserve = 0.0 if purpose is Purpose.ALARM else self.reserve
        return int(self.limit(span) * (1 - reserve) * SHARES[purpose])


def limits(month_mb: float, day_mb: float, hour_mb: float, reserve: float, links: int) -> Limits:
    """The limits as configured; 0 for the default of so many metered links on the interface."""
    month = month_mb or LINK_MONTH_MB * max(links, 1)
    day = min(day_mb or month / DAY_PART, month)
    hour = min(hour_mb or day / HOUR_PART, day)
    return Limits(int(month * MB), int(day * MB), int(hour * MB), reserve)
