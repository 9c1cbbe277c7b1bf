"""Where the hours, days and months of a budget begin, in UTC (pure)."""

from __future__ import annotations

import calendar
import time
from enum import Enum

HOUR_S, DAY_S = 3_600, 86_400
EARLIEST_S, LATEST_S = 31 * DAY_S, 32_503_680_000
"""From February 1970 to the year 3000: beyond, it is no time."""


class Span(Enum):
    """A window of the budget."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


def start_of(span: Span, at_s: float, reset_day: int = 1) -> int:
    """When the window began that holds ``at_s``, s since 1970; months begin on ``reset_day``, 1 to 28."""
    at = int(min(max(at_s, EARLIEST_S), LATEST_S))
    if span is Span.HOUR:
        return at - at % HOUR_S
    if span is Span.DAY:
        return at - at % DAY_S
    day = time.gmtime(at)
    months = day.tm_year * 12 + day.tm_mon - 1 - (day.tm_mday < reset_day)
    return _month(months, reset_day)


def end_of(span: Span, start_s: int, reset_day: int = 1) -> int:
    """When the window that began at ``start_s`` ends, s since 1970."""
    if span is Span.HOUR:
        return start_s + HOUR_S
    if span is Span.DAY:
        return start_s + DAY_S
    day = time.gmtime(start_s)
    return _month(day.tm_year * 12 + day.tm_mon, reset_day)


def _month(months: int, reset_day: int) -> int:
    """The beginning of the month of that number, counted from year 0."""
    year, month = divmod(months, 12)
    return calendar.timegm((year, month + 1, reset_day, 0, 0, 0))
