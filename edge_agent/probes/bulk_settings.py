"""When and how much a bulk transfer sends."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_agent.probes.probe import Cadence, require_between


@dataclass(frozen=True, slots=True)
class BulkSettings(Cadence):
    """How much is sent to the link's reflector, which takes it only where it has ``bulk = true``."""

    period_s: float = 86_400
    timeout_s: float = 30
    """Of the whole round; data is sent for 0.7 of it at most."""
    port: int = 8_620
    """TCP port of the reflector."""
    max_bytes: int = 3_000_000
    """The most that a round may spend: IP packets in both directions, with headers and what is sent again."""
    key_file: Path | None = None
    """A file with the key shared with the reflector."""

    def __post_init__(self) -> None:
        section = "probe.bulk"
        self.check_cadence(section)
        require_between(section, "port", self.port, 1, 65_535)
        require_between(section, "max_bytes", self.max_bytes, 100_000, 4_000_000_000)

    def round_bytes(self, ip_header: int) -> int:
        """Its own cap, which it keeps to."""
        return self.max_bytes
