"""A reading as it was taken: what is needed to settle its time, where the wall clock could not be believed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_agent.contract import Reading


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
