"""When simulated links are read."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.probes.probe import Cadence, require_between


@dataclass(frozen=True, slots=True)
class SimulatedSettings(Cadence):
    """How often simulated links are read, and which of all simulated worlds they are in."""

    period_s: float = 10
    timeout_s: float = 2
    seed: int = 0

    def __post_init__(self) -> None:
        self.check_cadence("probe.simulated")
        require_between("probe.simulated", "seed", self.seed, 0, (1 << 63) - 1)
