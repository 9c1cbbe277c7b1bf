"""Readings of a watched link, and the alarms they give."""

from __future__ import annotations

from collections.abc import Sequence

from edge_agent.alarms import Alarms
from edge_agent.clock import ManualClock
from edge_agent.contract import Outcome, Reading, not_measured, row
from edge_agent.taken import Taken

START_MS = 1_763_000_000_000


class Watched:
    """Alarms over one gateway's readings, and all that they tell."""

    def __init__(self, far_ends: Sequence[str] = ("a",)) -> None:
        self.clock = ManualClock(START_MS)
        self.told: list[Taken] = []
        self.hurries: list[int] = []
        self.alarms = Alarms(
            self.told.append, lambda: self.hurries.append(len(self.told)), self.clock.monotonic, far_ends
        )

    def see(self, *readings: Reading, every_s: float = 10) -> None:
        for reading in readings:
            self.alarms.watch(Taken(reading))
            self.clock.advance(every_s)

    @property
    def states(self) -> list[tuple[int | None, int | None]]:
        return [(each.reading["up"], each.reading["was_up"]) for each in self.told]


def echo(received: int, link: str = "a", sent: int = 5, **others: int) -> Reading:
    return Reading(link, "echo", START_MS, row("echo", sent=sent, received=received, **others))


def connect(connected: int, refused: int = 0) -> Reading:
    values = row("connect", sent=3, connected=connected, refused=refused, timed_out=3 - connected - refused)
    return Reading("a", "connect", START_MS, values)


def interface(up: int, link: str = "a") -> Reading:
    return Reading(link, "interface", START_MS, row("interface", up=up, mtu=1500))


def silence(kind: str = "echo", outcome: Outcome = Outcome.OVER_BUDGET) -> Reading:
    return not_measured("a", kind, START_MS, outcome)


GOOD, BAD = echo(5), echo(0)
UP, DOWN, FIRST_UP, FIRST_DOWN = (1, 0), (0, 1), (1, None), (0, None)
