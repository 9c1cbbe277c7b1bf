"""When and how a link is echoed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from edge_agent.probes.probe import ICMP_HEADER, Cadence, require_between

WAIT_UNTIL = 0.9
"""The part of a round's timeout at which its last request has waited long enough, if all went in time."""
SPACINGS = ("periodic", "poisson")


@dataclass(frozen=True, slots=True)
class EchoSettings(Cadence):
    """How a link is echoed; a request waits 0.9 x timeout_s, less the time of sending, for its reply."""

    period_s: float = 10
    timeout_s: float = 5
    """Of the whole round."""
    count: int = 5
    spacing_ms: int = 200
    spacing: str = "periodic"
    """"periodic", or "poisson": at random moments, so that nothing periodic is missed (RFC 2330, 11.1)."""
    size: int = 56
    """Bytes of ICMP payload."""

    def __post_init__(self) -> None:
        section = "probe.echo"
        self.check_cadence(section)
        require_between(section, "count", self.count, 1, 100)
        require_between(section, "spacing_ms", self.spacing_ms, 1, 10_000)
        require_between(section, "size", self.size, 18, 1452)
        if self.spacing not in SPACINGS:
            raise ValueError(f"{section}: spacing is {self.spacing!r}, not one of {', '.join(SPACINGS)}")
        if self.wait_s < self.timeout_s / 10:
            raise ValueError(
                f"{section}: {self.count} requests {self.spacing_ms} ms apart do not fit timeout_s"
            )

    def round_bytes(self, ip_header: int) -> int:
        """Every request and its reply."""
        return 2 * self.count * (ip_header + ICMP_HEADER + self.size)

    @property
    def sending_s(self) -> float:
        """The longest time from a round's start to its last request."""
        gaps = self.count - (self.spacing == "periodic")
        return gaps * self.spacing_ms / 1000

    @property
    def wait_s(self) -> float:
        """How long each request waits for its reply, s."""
        return WAIT_UNTIL * self.timeout_s - self.sending_s

    def offsets_ns(self, rng: random.Random) -> Sequence[int]:
        """When the requests of a round are due, from its start.

        The moments of a Poisson process, given their number, are uniform and independent over the time: so
        a round is never longer than its timeout, and the mean rate is that of the spacing.
        """
        if self.spacing == "poisson":
            return sorted([int(rng.random() * self.sending_s * 1e9) for _ in range(self.count)])
        return range(0, self.count * self.spacing_ms * 1_000_000, self.spacing_ms * 1_000_000)
