"""When and how neighbours are looked for."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.probes.path_settings import START_S
from edge_agent.probes.probe import Cadence, require_between

QUESTIONS_BYTES = 2_000


@dataclass(frozen=True, slots=True)
class NeighbourSettings(Cadence):
    """How neighbours are looked for."""

    period_s: float = 3_600
    timeout_s: float = 300
    """Of the whole round; two look around at a time, the others wait."""
    listen_s: float = 35
    """How long to listen: LLDP is said every 30 s (IEEE 802.1AB section 9.2.5.7)."""
    max_age_s: float = 3_600
    """Entries of the kernel's tables that nobody confirmed for longer are left out."""

    def __post_init__(self) -> None:
        section = "probe.neighbour"
        self.check_cadence(section)
        require_between(section, "listen_s", self.listen_s, 0, 300)
        require_between(section, "max_age_s", self.max_age_s, 1, 86_400)
        if self.listen_s + START_S > self.timeout_s:
            raise ValueError(
                f"{section}: listen_s and the start, {self.listen_s + START_S:g} s, do not fit timeout_s"
            )

    def round_bytes(self, ip_header: int) -> int:
        """A few questions to neighbours that do not answer at once, and their answers."""
        return QUESTIONS_BYTES
