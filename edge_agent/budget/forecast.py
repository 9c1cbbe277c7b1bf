"""How long a month's budget lasts at the pace of the last days (pure)."""

from __future__ import annotations

from edge_agent.budget.calendar_windows import DAY_S, Span, end_of
from edge_agent.budget.ledger import Ledger
from edge_agent.budget.limits import Limits
from edge_agent.budget.spend import Purpose

LEAST_S = 6 * 3_600
"""A pace is told from so much time on."""


def lasts_s(ledger: Ledger, limits: Limits, now_s: float, reset_day: int) -> float | None:
    """Seconds until only alarms may be sent; None: not before the month ends, or not known yet."""
    month = ledger.windows[Span.MONTH]
    left = limits.ceiling(Span.MONTH, Purpose.LIVE) - month.total
    if left <= 0:
        return 0.0
    pace = bytes_per_s(ledger, now_s)
    if not pace or now_s + left / pace >= end_of(Span.MONTH, month.start_s, reset_day):
        return None
    return left / pace


def bytes_per_s(ledger: Ledger, now_s: float) -> float | None:
    """The pace of the last days and of today; None when there is too little to tell it from."""
    today = ledger.windows[Span.DAY]
    spent = sum(cost for _, cost in ledger.days) + max(today.total - today.charged, 0)
    begun_s = min((at_s for at_s, _ in ledger.days), default=today.start_s)
    took_s = now_s - (max(begun_s, ledger.since_s) if ledger.since_s <= now_s else begun_s)
    return spent / took_s if LEAST_S <= took_s <= 8 * DAY_S else None
