"""The port that everything asks which costs bytes, and what answers where nothing is metered."""

from __future__ import annotations

from enum import IntEnum
from typing import Protocol


class Purpose(IntEnum):
    """What bytes are for, by priority: the first is held back last."""

    ALARM = 0
    """Batches that tell of a link that went down or came up."""
    LIVE = 1
    """Batches of what was measured just now."""
    CONTROL = 2
    """TLS handshakes, keep-alives, acknowledgements and what was sent again."""
    PROBE = 3
    """Rounds of the probes that measure a link."""
    BACKFILL = 4
    """Batches of what could not be sent before."""
    SPEED = 5
    """Capacity trains and bulk transfers."""
    REFLECT = 6
    """What others measure here: their packets and the replies, booked when they have passed."""


class Spend(Protocol):
    """What the uplink and the probes see of the budget."""

    def book(self, purpose: Purpose, size: int, meter: str) -> bool:
        """Book so many IP bytes, both directions, and say yes; or say no, before the first byte.

        ``meter`` names the interface that they pass, "" where bytes are free.
        """
        ...

    def correct(self, purpose: Purpose, more: int, meter: str) -> None:
        """Add what it really cost beside what was booked, bytes; negative when it cost less."""
        ...


class Unlimited:
    """The budget where nothing is metered: it says yes to everything."""

    def book(self, purpose: Purpose, size: int, meter: str) -> bool:
        """Yes."""
        return True

    def correct(self, purpose: Purpose, more: int, meter: str) -> None:
        """Nothing is kept."""
