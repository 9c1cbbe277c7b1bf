"""A gateway with a data budget, which can crash and lose its power."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edge_agent.budget import Purpose
from edge_agent.budget.budget import Budget
from edge_agent.budget.calendar_windows import DAY_S
from edge_agent.budget.interface_counters import Counters
from edge_agent.budget.ledger_file import LedgerFile
from edge_agent.budget.limits import Limits
from edge_agent.clock import ManualClock

WAN = "wwan0"
SMALL = Limits(month=3_000_000, day=300_000, hour=75_000, reserve=0.1)
NOON_MS = 1_700_049_600_000
"""2023-11-15 12:00 UTC."""
MONTH_S = 30 * DAY_S


@dataclass
class Gateway:
    """A clock, a disk, and a budget that can lose its power."""

    folder: Path
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOON_MS))
    limits: Limits = SMALL
    counters: Counters | None = None
    boots: int = 0

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.budget = Budget(
            LedgerFile(self.folder / "budget"),
            self.clock,
            lambda meter: self.limits,
            [WAN],
            counters=lambda name: self.counters,
        )

    def crash(self) -> None:
        """The process ends without a word; the next one starts in the same boot."""
        self.start()

    def power_cut(self, wall_ms: int, synced: bool) -> None:
        """The machine ends, and starts with that wall clock."""
        self.boots += 1
        self.clock.reboot(wall_ms, f"boot {self.boots}", synced)
        self.start()

    def book(self, size: int, purpose: Purpose = Purpose.PROBE) -> bool:
        return self.budget.book(purpose, size, WAN)

    @property
    def hour(self) -> int:
        return self.budget.summary()[0].hour

    @property
    def day(self) -> int:
        return self.budget.summary()[0].day

    @property
    def month(self) -> int:
        return self.budget.summary()[0].month
