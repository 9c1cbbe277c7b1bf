"""A reading as it was taken: what its time is settled by, where the wall clock could not be believed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from edge_agent.clock import Look
from edge_agent.contract import Flag, Reading


@dataclass(frozen=True, slots=True)
class Taken:
    """A reading whose time may still have to be settled."""

    reading: Reading
    """Its ``at_ms`` is what the wall clock said."""
    boot: str = ""
    """The boot that ``since_boot_ms`` counts from; empty when the wall clock was synchronised."""
    since_boot_ms: int = 0
    """When the round began, ms since boot."""


Settle = Callable[[Taken], Reading | None]
"""The reading with its final time and flags, or None while it is worth waiting for a synchronisation."""


def as_taken(taken: Taken) -> Reading | None:
    """The reading as it is: for clocks that nobody doubts."""
    return taken.reading


def take(reading: Reading, look: Look, boot: str) -> Taken:
    """The reading with the time of that look; what its time can be settled by, where that is in doubt."""
    at_ms = max(look.wall_ms, 0)  # the contract has no time before 1970
    if look.synced:
        return Taken(replace(reading, at_ms=at_ms, flags=reading.flags | Flag.CLOCK_SYNCED))
    stamped = replace(reading, at_ms=at_ms, flags=reading.flags & ~Flag.CLOCK_SYNCED)
    return Taken(stamped, boot, max(int(look.since_boot_s * 1000), 0))
