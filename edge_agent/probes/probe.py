"""What a probe is: one async callable that measures one link once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from edge_agent.contract import Flag, Link, Outcome


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one round measured; ``values`` follow the columns of the kind (contract.KINDS)."""

    kind: str
    values: tuple[int | None, ...]
    flags: Flag = Flag.NONE


class ProbeError(Exception):
    """The probe could not measure, which says nothing about the link; the outcome says why."""

    def __init__(self, outcome: Outcome, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.message = message


class Probe(Protocol):
    """Measures a link: the failure of the link is data, the failure to measure is a ProbeError."""

    kind: str
    """The kind of its measurements; a round that could not measure is recorded under it."""

    async def __call__(self, link: Link) -> Measurement:
        """One round; may be cancelled at any time, which must leave nothing behind."""
        ...

    def close(self) -> None:
        """Release what the probe holds, before its event loop ends; it may be called twice."""
        ...


def require_between(section: str, name: str, value: float, low: float, high: float) -> None:
    """Raise ValueError, naming the setting, unless low <= value <= high."""
    if not low <= value <= high:
        raise ValueError(f"{section}: {name} is {value:g}, not {low:g} to {high:g}")
