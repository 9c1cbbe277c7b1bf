"""When and how the path to a target is looked for."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.discovery.messages import MAX_HOPS
from edge_agent.probes.probe import ICMP_HEADER, UDP_HEADER, Cadence, require_between

START_S = 5.0
"""What is kept for the start of the child, which takes that long on the smallest gateways."""
LONGEST_QUOTE = 140
"""What a router that describes itself makes of a short packet (RFC 4884: 128 bytes and extensions)."""
MARK_BYTES = 4


@dataclass(frozen=True, slots=True)
class PathSettings(Cadence):
    """How the path to a link's target is looked for."""

    period_s: float = 600
    timeout_s: float = 60
    """Of the whole round; a trace waits for the one before it to end, so that one child runs at a time."""
    hops: int = 30
    """The farthest distance that is tried."""
    attempts: int = 3
    """Probes to each distance."""
    port: int = 33_434
    """UDP port of the probes, at which nothing should listen."""
    spacing_ms: float = 20
    """Between two probes: routers limit how many errors they send."""
    wait_ms: float = 1_000
    """For answers, after the last probe."""

    def __post_init__(self) -> None:
        section = "probe.path"
        self.check_cadence(section)
        require_between(section, "hops", self.hops, 1, MAX_HOPS)
        require_between(section, "attempts", self.attempts, 1, 10)
        require_between(section, "port", self.port, 1, 65_535)
        require_between(section, "spacing_ms", self.spacing_ms, 1, 1_000)
        require_between(section, "wait_ms", self.wait_ms, 10, 10_000)
        longest_s = (self.hops * self.attempts * self.spacing_ms + 2 * self.wait_ms) / 1000
        if longest_s + START_S > self.timeout_s:
            raise ValueError(
                f"{section}: {self.hops} hops, {self.attempts} attempts and wait_ms can take "
                f"{longest_s:.3g} s, and the start {START_S:g} s, which do not fit timeout_s"
            )

    def round_bytes(self, ip_header: int) -> int:
        """Every probe to every distance, and an ICMP error for each with all that routers quote of it."""
        probe = ip_header + UDP_HEADER + MARK_BYTES
        error = ip_header + ICMP_HEADER + max(probe, LONGEST_QUOTE)
        return self.hops * self.attempts * (probe + error)
