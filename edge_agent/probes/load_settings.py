"""When round trips are reported by load."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.contract import KINDS
from edge_agent.probes.probe import Cadence, require_between

_LARGEST_KBPS = KINDS["load"].columns[0].maximum


@dataclass(frozen=True, slots=True)
class LoadSettings(Cadence):
    """How often the round trips are reported by load, each time those since the report before."""

    period_s: float = 300
    timeout_s: float = 5
    reference_kbps: int = 0
    """What the link can carry; 0: the interface's negotiated speed, else the largest rate seen.

    Set it where the interface is faster than the link, as that of a modem mostly is.
    """

    def __post_init__(self) -> None:
        self.check_cadence("probe.load")
        require_between("probe.load", "reference_kbps", self.reference_kbps, 0, _LARGEST_KBPS)
