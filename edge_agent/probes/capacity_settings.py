"""When and how a link's capacity is measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_agent.probes.probe import Cadence, require_between
from edge_agent.probes.train_packet import MOST_PACKETS

SCOUTS = 6
"""Packets sent first, only to learn how long a train may be."""
SHORTEST = 20
"""Packets of a train, whatever it takes."""
QUESTIONS_BYTES = 4_000
"""Kept back for questions that have to be asked again."""
SMALLEST = 500
"""Bytes of a packet: smaller ones would measure the machines, not the link."""


@dataclass(frozen=True, slots=True)
class CapacitySettings(Cadence):
    """How a link's capacity is measured; the far end runs a reflector."""

    period_s: float = 86_400
    timeout_s: float = 20
    """Of the whole round."""
    port: int = 8_620
    """UDP port of the reflector's train responder."""
    budget_bytes: int = 300_000
    """The most that a round may spend: IP packets in both directions, headers included."""
    packets: int = 200
    """The longest train."""
    packet_bytes: int = 1_400
    """Of each IP packet of a train; lowered to what the way takes whole."""
    busy_ms: int = 1_000
    """How long a train may keep a slow link busy; it is shorter then."""
    key_file: Path | None = None
    """A file with the key shared with the reflector."""

    def __post_init__(self) -> None:
        section = "probe.capacity"
        self.check_cadence(section)
        require_between(section, "port", self.port, 1, 65_535)
        require_between(section, "packet_bytes", self.packet_bytes, SMALLEST, 2_000)
        require_between(section, "packets", self.packets, SHORTEST, MOST_PACKETS)
        require_between(section, "busy_ms", self.busy_ms, 50, 60_000)
        least = (2 * SCOUTS + SHORTEST) * self.packet_bytes + 2 * QUESTIONS_BYTES
        require_between(section, "budget_bytes", self.budget_bytes, least, 100_000_000)

    def round_bytes(self, ip_header: int) -> int:
        """Its own budget, which it keeps to."""
        return self.budget_bytes
