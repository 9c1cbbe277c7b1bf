"""What one window of a budget has cost so far (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_agent.budget.spend import Purpose

SPENT_LEAST = Purpose.REFLECT
"""Purposes in ledgers from before the last of them was told apart: an update must not cost the month."""


def _none() -> list[int]:
    return [0] * len(Purpose)


@dataclass(slots=True)
class Window:
    """An hour, day or month of one interface; bytes."""

    start_s: int = 0
    spent: list[int] = field(default_factory=_none)
    """By purpose."""
    charged: int = 0
    """What is not known and therefore counts as spent: of a crash, or of a damaged ledger."""
    corrected: int = 0
    """By how much the interface's own counters have shown the ledger to be too high."""
    counted: int | None = None
    """What the interface counted, whoever caused it; None while nothing is known of that."""
    former_start_s: int = -1
    """Of the window before this one; -1 for none."""
    former: int = 0
    """What that one had cost."""

    @property
    def total(self) -> int:
        """What it has cost."""
        return max(sum(self.spent) + self.charged - self.corrected, 0)

    def add(self, purpose: Purpose, size: int) -> None:
        """Add bytes; negative ones never make a purpose cost less than nothing."""
        self.spent[purpose] = max(self.spent[purpose] + size, 0)

    def move(self, start_s: int, carry: int = 0) -> None:
        """Be the window that begins at ``start_s``.

        Forward it starts empty, but for ``carry`` bytes that may belong to it. Back it keeps what it has, and
        what the window had cost that was left when the clock went forward: a clock set back opens nothing.
        """
        if start_s > self.start_s:
            self.former_start_s, self.former = self.start_s, self.total
            self.spent, self.charged, self.corrected, self.counted = _none(), carry, 0, None
        elif start_s < self.start_s:
            if self.former_start_s >= start_s:
                self.charged += self.former
            self.former_start_s, self.former = -1, 0
        self.start_s = start_s

    def describe(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "start_s": self.start_s,
            "spent": self.spent,
            "charged": self.charged,
            "corrected": self.corrected,
            "counted": self.counted,
            "former": [self.former_start_s, self.former],
        }


def window(given: Mapping[str, Any]) -> Window:
    """The window that was described; raises ValueError, TypeError or KeyError."""
    spent = [_whole(each) for each in given["spent"]]
    if not SPENT_LEAST <= len(spent) <= len(Purpose):
        raise ValueError(f"{len(spent)} purposes, not {SPENT_LEAST} to {len(Purpose)}")
    spent += [0] * (len(Purpose) - len(spent))
    former_start_s, former = given["former"]
    charged, corrected = _whole(given["charged"]), _whole(given["corrected"])
    counted = None if given["counted"] is None else _whole(given["counted"])
    start_s = _whole(given["start_s"])
    return Window(start_s, spent, charged, corrected, counted, int(former_start_s), _whole(former))


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value
