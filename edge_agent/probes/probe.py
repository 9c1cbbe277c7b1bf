"""What a probe is: one async callable that measures one link once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from edge_agent.contract import Flag, Outcome

if TYPE_CHECKING:
    from edge_agent.probes.binding import ProbedLink


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

    async def __call__(self, link: ProbedLink) -> Measurement | Sequence[Measurement]:
        """One round; may be cancelled at any time, which must leave nothing behind.

        A round gives one measurement, or several of one kind (the hops of a path), of which there is at
        least one.
        """
        ...

    def close(self) -> None:
        """Release what the probe holds, before its event loop ends; it may be called twice."""
        ...


@dataclass(frozen=True, slots=True)
class Cadence:
    """When the rounds of a probe run; the base of every probe's settings, which set their own defaults."""

    period_s: float = 10
    timeout_s: float = 5
    """Of a whole round."""
    jitter: float = 0.05
    """The part of its period by which a round may be moved, at random: no two probes beat as one."""
    adaptive: bool = False
    """Probe faster while the link changes and slower while it is quiet, at the same cost on the whole."""

    def round_bytes(self, ip_header: int) -> int:
        """The most that a round sends and receives, IP bytes; 0 for what is read from this machine alone.

        ``ip_header`` is 20 for IPv4, 40 for IPv6. Looking up a name comes besides.
        """
        return 0

    def check_cadence(self, section: str) -> None:
        """Raise ValueError, naming the setting, for a value out of range."""
        require_between(section, "period_s", self.period_s, 0.2, 2_592_000)
        require_between(section, "timeout_s", self.timeout_s, 0.1, self.period_s)
        require_between(section, "jitter", self.jitter, 0, 0.5)


IPV4_HEADER, IPV6_HEADER, UDP_HEADER, ICMP_HEADER = 20, 40, 8, 8
TCP_HEADER, SYN_HEADER = 32, 40
"""With the options that Linux sends: timestamps, and what a SYN offers."""


def require_between(section: str, name: str, value: float, low: float, high: float) -> None:
    """Raise ValueError, naming the setting, unless low <= value <= high."""
    if not low <= value <= high:
        raise ValueError(f"{section}: {name} is {value:.15g}, not {low:.15g} to {high:.15g}")
