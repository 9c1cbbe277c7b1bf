"""A gateway that measures, seals and reboots while a manual clock does as the test wants."""

from __future__ import annotations

from collections.abc import Sequence

from edge_agent.clock import ManualClock
from edge_agent.contract import Flag, Reading
from edge_agent.taken import Taken
from edge_agent.timekeeping import Timekeeper

NOW_MS = 1_763_000_000_000
DAY_S = 86_400
HOUR_S = 3_600
TEN_YEARS_S = 3_652 * DAY_S
WAIT_S = 300.0
VALUES = (3, 3, 0, 0, 1000, 1000, 1000, 1000)
READING = Reading("a", "connect", 0, VALUES)
BELIEVED = Flag.CLOCK_SYNCED
RESTAMPED = Flag.CLOCK_SYNCED | Flag.RESTAMPED


class Gateway:
    """A machine with its clock, the agent's timekeeper and a journal that survives everything."""

    def __init__(self, wall_ms: int, synced: bool = False, floor_ms: int = 0, wait_s: float = WAIT_S) -> None:
        self.clock = ManualClock(wall_ms, synced, boot_id="boot 0", since_boot_s=20)
        self.journal: list[Taken] = []
        self.sealed: list[Reading] = []
        self.keeper = Timekeeper(self.clock, wait_s, floor_ms)
        self._wait_s = wait_s
        self._boots = 0

    def measure(self, rounds: int = 1, every_s: float = 10) -> None:
        for _ in range(rounds):
            self.journal.append(self.keeper.take(READING))
            self.clock.advance(every_s)

    def seal(self) -> list[Reading]:
        """Settle from the oldest on, until one has to wait; what was sealed now."""
        now: list[Reading] = []
        while self.journal and (settled := self.keeper.settle(self.journal[0])) is not None:
            self.journal.pop(0)
            now.append(settled)
        self.sealed += now
        return now

    def restart(self) -> None:
        """A new agent in the same boot."""
        newest = self.sealed[-1].at_ms if self.sealed else 0
        self.keeper = Timekeeper(self.clock, self._wait_s, newest)

    def power_cut(self, wall_ms: int, synced: bool = False) -> None:
        self._boots += 1
        self.clock.reboot(wall_ms, f"boot {self._boots}", synced)
        self.clock.advance(20)
        self.restart()

    def synchronise(self, true_ms: int) -> None:
        self.clock.step((true_ms - self.clock.wall_ms()) / 1000)
        self.clock.is_synced = True


def times(readings: Sequence[Reading]) -> list[int]:
    return [each.at_ms for each in readings]


def flags(readings: Sequence[Reading]) -> set[Flag]:
    return {each.flags for each in readings}


def spaced(start_ms: int, rounds: int) -> list[int]:
    return [start_ms + 10_000 * turn for turn in range(rounds)]
