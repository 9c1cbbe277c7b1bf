"""When an interface is read."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.probes.probe import Cadence


@dataclass(frozen=True, slots=True)
class InterfaceSettings(Cadence):
    """How often an interface is read."""

    period_s: float = 10
    timeout_s: float = 2

    def __post_init__(self) -> None:
        self.check_cadence("probe.interface")
