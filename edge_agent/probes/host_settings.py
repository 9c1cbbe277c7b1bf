"""When the machine is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_agent.probes.probe import Cadence


@dataclass(frozen=True, slots=True)
class HostSettings(Cadence):
    """How often the machine is looked at."""

    period_s: float = 60
    timeout_s: float = 5
    disk: Path = Path("/")
    """A folder of the file system whose space is reported."""

    def __post_init__(self) -> None:
        self.check_cadence("probe.host")
