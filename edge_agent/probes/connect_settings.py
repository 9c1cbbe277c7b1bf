"""When and how a service is connected to."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.probes.probe import SYN_HEADER, TCP_HEADER, Cadence, require_between

SPACING_S = 0.1


@dataclass(frozen=True, slots=True)
class ConnectSettings(Cadence):
    """How a link's target is connected to."""

    period_s: float = 60
    timeout_s: float = 5
    """Of the whole round."""
    count: int = 3
    port: int = 443

    def __post_init__(self) -> None:
        section = "probe.connect"
        self.check_cadence(section)
        require_between(section, "count", self.count, 1, 100)
        require_between(section, "port", self.port, 1, 65_535)
        if self.count * SPACING_S > self.timeout_s / 2:
            raise ValueError(f"{section}: {self.count} connections 100 ms apart do not fit timeout_s")

    def round_bytes(self, ip_header: int) -> int:
        """Every SYN that fits the time with its answer, and the end of a connection that stood."""
        syns = int(self.timeout_s + 1).bit_length()  # after 1, 3, 7, ... s one that has no answer is repeated
        opening, closing = 2 * syns * (ip_header + SYN_HEADER), 4 * (ip_header + TCP_HEADER)
        return self.count * (opening + closing)
