"""When and how a link's reflector is measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_agent.probes.probe import UDP_HEADER, Cadence, require_between
from edge_agent.probes.stamp_packet import LARGEST, PLAIN_SIZE, SIGNED_SIZE, TLV_HEADER

WAIT_UNTIL = 0.75
"""The part of a round's timeout at which its last packet has waited long enough, if all went in time."""
CLOSING = 2
"""Packets sent after a loss, to learn how many of the others arrived."""


@dataclass(frozen=True, slots=True)
class StampSettings(Cadence):
    """How a link's reflector is measured; a packet waits 0.75 x timeout_s - (count - 1) x spacing_ms."""

    period_s: float = 10
    timeout_s: float = 5
    """Of the whole round."""
    count: int = 10
    spacing_ms: int = 100
    port: int = 862
    """UDP port of the reflector."""
    padding: int = 0
    """Bytes added to each packet, in both directions (an Extra Padding TLV, RFC 8972 section 4.1)."""
    key_file: Path | None = None
    """A file with the key shared with the reflector: authenticated mode."""
    stateful: bool = True
    """Whether the reflector counts its replies (RFC 8762 section 4), as ours does; else loss is not split."""

    def __post_init__(self) -> None:
        section = "probe.stamp"
        self.check_cadence(section)
        require_between(section, "count", self.count, 1, 100)
        require_between(section, "spacing_ms", self.spacing_ms, 1, 10_000)
        require_between(section, "port", self.port, 1, 65_535)
        require_between(section, "padding", self.padding, 0, LARGEST - SIGNED_SIZE - TLV_HEADER)
        if self.wait_s < self.timeout_s / 10:
            raise ValueError(
                f"{section}: count is {self.count}: packets {self.spacing_ms} ms apart do not fit timeout_s"
            )

    def round_bytes(self, ip_header: int) -> int:
        """Every packet and its reflection, and those that are sent after a loss."""
        size = SIGNED_SIZE if self.key_file else PLAIN_SIZE
        size += TLV_HEADER + self.padding if self.padding else 0
        return 2 * (self.count + CLOSING) * (ip_header + UDP_HEADER + size)

    @property
    def wait_s(self) -> float:
        """How long each packet waits for its reply, s."""
        return WAIT_UNTIL * self.timeout_s - (self.count - 1) * self.spacing_ms / 1000
