"""The ledger of one metered interface: its hour, day and month, and what the last days cost (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_agent.budget.calendar_windows import DAY_S, Span, start_of
from edge_agent.budget.limits import Limits
from edge_agent.budget.spend import Purpose
from edge_agent.budget.window import Window, window

DAYS_KEPT = 7
"""Finished days whose cost is kept, for the forecast."""


@dataclass(slots=True)
class Ledger:
    """What an interface has carried for the agent."""

    windows: dict[Span, Window] = field(default_factory=lambda: {span: Window() for span in Span})
    days: list[tuple[int, int]] = field(default_factory=list)
    """Finished days that were not idle: their beginning, s since 1970, and what they cost, bytes."""
    floating: int = 0
    """Spent since the time was last known for sure: it may belong to any later window."""
    since_s: float = 0.0
    """When it began, s since 1970."""

    def roll(self, now_s: float, reset_day: int, is_sure: bool) -> None:
        """Be at that time; ``is_sure``: what was spent in the meantime is of the time up to now."""
        for span, each in self.windows.items():
            start_s = start_of(span, now_s, reset_day)
            if start_s == each.start_s:
                continue
            if span is Span.DAY:
                self._keep_day(each, start_s)
            # Time that runs on without being known for sure never shows less of it than has passed: what the
            # new window may hold was spent in the last window or in the one before.
            carry = min(self.floating, each.total + each.former) if is_sure else 0
            each.move(start_s, carry)
        if is_sure:
            self.floating = 0

    def _keep_day(self, day: Window, start_s: int) -> None:
        known = day.total - min(day.charged, day.total)
        if start_s > day.start_s and known:
            self.days = [*self.days, (day.start_s, known)][-DAYS_KEPT:]
        self.days = [
            (at_s, cost) for at_s, cost in self.days if start_s - DAYS_KEPT * DAY_S <= at_s < start_s
        ]

    def admits(self, purpose: Purpose, size: int, limits: Limits) -> bool:
        """Whether so many more bytes fit every window."""
        return all(each.total + size <= limits.ceiling(span, purpose) for span, each in self.windows.items())

    def add(self, purpose: Purpose, size: int, is_sure: bool) -> None:
        """Add bytes to every window."""
        for each in self.windows.values():
            each.add(purpose, size)
        if not is_sure:
            self.floating = max(self.floating + size, 0)

    def charge(self, sizes: Mapping[Span, int], is_sure: bool) -> None:
        """Count as spent what is not known."""
        for span, size in sizes.items():
            self.windows[span].charged += size
        if not is_sure:
            self.floating += max(sizes.values())

    def describe(self) -> dict[str, Any]:
        """As JSON values."""
        windows = {span.value: each.describe() for span, each in self.windows.items()}
        return {"windows": windows, "days": self.days, "floating": self.floating, "since_s": self.since_s}


def ledger(given: Mapping[str, Any]) -> Ledger:
    """The ledger that was described; raises ValueError, TypeError or KeyError."""
    windows = {span: window(given["windows"][span.value]) for span in Span}
    days = [(int(at_s), int(cost)) for at_s, cost in given["days"]]
    return Ledger(windows, days[-DAYS_KEPT:], int(given["floating"]), float(given["since_s"]))
