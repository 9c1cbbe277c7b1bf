"""Corrects a ledger by what the interface counted: what did not pass it, the agent did not spend (pure)."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_agent.budget.calendar_windows import Span
from edge_agent.budget.interface_counters import Counters, growth
from edge_agent.budget.ledger import Ledger
from edge_agent.budget.window import Window


@dataclass(slots=True)
class _Watched:
    """A window since it, or the watching, began."""

    start_s: int
    base: int
    """What the ledger had before."""
    marked_at_s: float
    marked: int
    """What the ledger had then: by the next look, all of that has passed the interface."""
    counted: int = 0


@dataclass(slots=True)
class Calibration:
    """Compares one interface's counters with its ledger, window by window.

    Only while the counters were read without a gap, and only what was booked ``settle_s`` ago or earlier: a
    booking comes before its bytes. An interface that counted more proves nothing, others may use it too.
    """

    settle_s: float
    _before: Counters | None = None
    _watched: dict[Span, _Watched] = field(default_factory=dict)

    def look(self, ledger: Ledger, counters: Counters | None, now_s: float) -> None:
        """Take in the counters now; ``now_s`` is of a clock that never steps."""
        grown = growth(self._before, counters)
        self._before = counters
        for span, window in ledger.windows.items():
            if grown is not None:
                window.counted = (window.counted or 0) + grown
            watched = self._watched.get(span)
            if watched is None or grown is None or watched.start_s != window.start_s:
                self._watched[span] = _Watched(window.start_s, window.total, now_s, window.total)
            else:
                watched.counted += grown
                if now_s - watched.marked_at_s >= self.settle_s:
                    self._correct(watched, window)
                    watched.marked_at_s, watched.marked = now_s, window.total

    @staticmethod
    def _correct(watched: _Watched, window: Window) -> None:
        too_high = min(watched.marked, window.total) - watched.base - watched.counted
        if too_high > 0:
            window.corrected += too_high
