"""What happened to each reading on the gateway, told apart by a number in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import Enum, auto

from edge_agent.contract import Flag, Reading, row
from edge_agent.taken import Taken

MEASURED, CHANGED = "interface", "state"
_NUMBER = {MEASURED: "rx_bytes", CHANGED: "lasted_s"}


_NOISE = ("tx_bytes", "rx_packets", "tx_packets", "rx_errors", "tx_errors", "rx_dropped")
_ODD = 0x9E37_79B9_7F4A_7C15


class Fate(Enum):
    """How far a reading has come."""

    IN_MEMORY = auto()
    """Generated; a power cut within the commit interval may cost it."""
    IN_DOUBT = auto()
    """The process ended while the spool was taking it: kept or not, both are right."""
    REJECTED = auto()
    """The spool raised: it says that it was not kept."""
    ACCEPTED = auto()
    """``append`` has returned."""


def numbered(number: int, link: str, at_ms: int, flags: Flag = Flag.NONE, kind: str = MEASURED) -> Reading:
    """A reading that can be told from every other."""
    values = {"up": number % 2}
    if kind == MEASURED:
        # Noise, so that a small spool is full within minutes.
        values |= {name: (number + place) * _ODD % (1 << 62) for place, name in enumerate(_NOISE)}
    return Reading(link, kind, at_ms, row(kind, **values, **{_NUMBER[kind]: number}), flags)


def number_of(reading: Reading) -> int | None:
    """The number in a reading; None when it is the agent's own."""
    column = _NUMBER.get(reading.kind)
    return None if column is None else reading[column]


class Truth:
    """Every reading that was generated, and its fate."""

    def __init__(self) -> None:
        self.fates: dict[int, Fate] = {}
        self.made: dict[int, Reading] = {}
        """By number, with the wall clock's time."""
        self.true_ms: dict[int, int] = {}
        """By number, when it was really taken."""

    def make(
        self, link: str, at_ms: int, true_ms: int, flags: Flag = Flag.NONE, kind: str = MEASURED
    ) -> Reading:
        """A new reading."""
        number = len(self.fates) + 1
        reading = numbered(number, link, at_ms, flags, kind)
        self.fates[number], self.made[number], self.true_ms[number] = Fate.IN_MEMORY, reading, true_ms
        return reading

    def note(self, readings: Sequence[Taken], fate: Fate) -> None:
        """These have come so far; what is accepted stays so."""
        for taken in readings:
            number = number_of(taken.reading)
            if number in self.fates and self.fates[number] is not Fate.ACCEPTED:
                self.fates[number] = fate

    def count(self) -> Counter[Fate]:
        """How many have each fate."""
        return Counter(self.fates.values())

    @property
    def accepted(self) -> set[int]:
        """The numbers of all that ``append`` has returned for."""
        return {number for number, fate in self.fates.items() if fate is Fate.ACCEPTED}
