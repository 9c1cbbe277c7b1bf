"""What the operator of a local cloud may choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from infrastructure.local.faults import FaultPlan


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator chose; a port of 0 means a free one."""

    engine_port: int
    mqtt_port: int
    parameters: Mapping[str, str]
    faults: FaultPlan | None = None
    """What goes wrong on purpose; nothing when None."""
    schedule_every_s: float = 0.0
    """Seconds between two calls by the schedule; 0 for what the template says."""
