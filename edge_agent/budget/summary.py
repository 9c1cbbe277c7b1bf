"""What a budget has carried and may, for the status, the agent's reading and `edge-agent budget`."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.budget.calendar_windows import Span, end_of
from edge_agent.budget.forecast import lasts_s
from edge_agent.budget.ledger import Ledger
from edge_agent.budget.limits import Limits
from edge_agent.budget.spend import Purpose


@dataclass(frozen=True, slots=True)
class SpanSummary:
    """One window of an interface, bytes."""

    total: int
    limit: int
    left: int
    """For live readings; alarms have the reserve besides."""
    by_purpose: tuple[int, ...]
    """In the order of Purpose."""
    charged: int
    """Not known, and therefore counted as spent."""
    corrected: int
    """Taken off, because the interface counted less."""
    counted: int | None
    """What the interface counted, whoever caused it; None while nothing is known of that."""
    ends_s: int
    """UTC, s since 1970."""


@dataclass(frozen=True, slots=True)
class MeterSummary:
    """One metered interface."""

    interface: str
    spans: dict[Span, SpanSummary]
    lasts_s: float | None
    """Until only alarms may be sent; None: to the end of the month, or not known yet."""

    @property
    def hour(self) -> int:
        """Bytes in this hour."""
        return self.spans[Span.HOUR].total

    @property
    def day(self) -> int:
        """Bytes in this day, UTC."""
        return self.spans[Span.DAY].total

    @property
    def month(self) -> int:
        """Bytes in this month."""
        return self.spans[Span.MONTH].total

    @property
    def month_limit(self) -> int:
        """Bytes that a month may hold."""
        return self.spans[Span.MONTH].limit


def summarise(interface: str, ledger: Ledger, limits: Limits, now_s: float, reset_day: int) -> MeterSummary:
    """The summary of a ledger that is at that time."""
    spans = {}
    for span, each in ledger.windows.items():
        spans[span] = SpanSummary(
            each.total,
            limits.limit(span),
            max(limits.ceiling(span, Purpose.LIVE) - each.total, 0),
            tuple(each.spent),
            each.charged,
            each.corrected,
            each.counted,
            end_of(span, each.start_s, reset_day),
        )
    return MeterSummary(interface, spans, lasts_s(ledger, limits, now_s, reset_day))
