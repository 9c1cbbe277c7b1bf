"""One turn of emptying the spool: what is in flight, and what became of the rest."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from edge_agent.budget import Purpose
from edge_agent.publisher import PublishRefused
from edge_agent.uplink.lanes import Chosen


@dataclass(slots=True)
class Flight:
    """A batch that is published and not yet acknowledged."""

    chosen: Chosen
    size: int
    """Bytes booked."""
    task: asyncio.Task[None]


@dataclass(slots=True)
class Turn:
    """What a turn has seen so far."""

    skipped: set[int] = field(default_factory=set)
    """Refused in this turn."""
    held: set[Purpose] = field(default_factory=set)
    """What the budget does not allow in this turn."""
    arrived: deque[int] = field(default_factory=lambda: deque(maxlen=256))
    """The last that arrived: what the spool gives out again at once must not be paid for again."""
    passed: int = 0
    error: Exception | None = None
    refusal: PublishRefused | None = None


@dataclass(frozen=True, slots=True)
class Drained:
    """What is left in the spool after all that could be sent has arrived."""

    held: frozenset[Purpose]
    """What the budget holds back."""
    refused: int
    """Batches that the broker refused."""
