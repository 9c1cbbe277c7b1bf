"""The probes: how each kind of measurement of a link is taken, by the name used in the config."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edge_agent.probes.connect import ConnectProbe, ConnectSettings
from edge_agent.probes.echo import EchoProbe, EchoSettings
from edge_agent.probes.interface import InterfaceProbe, InterfaceSettings
from edge_agent.probes.probe import Measurement, Probe, ProbeError
from edge_agent.probes.simulated import SimulatedProbe, SimulatedSettings

__all__ = [
    "PROBES",
    "SETTINGS",
    "ConnectSettings",
    "EchoSettings",
    "InterfaceSettings",
    "Measurement",
    "Probe",
    "ProbeError",
    "Settings",
    "SimulatedSettings",
]

Settings = EchoSettings | ConnectSettings | InterfaceSettings | SimulatedSettings

SETTINGS: Mapping[str, type[Settings]] = {
    "echo": EchoSettings,
    "connect": ConnectSettings,
    "interface": InterfaceSettings,
    "simulated": SimulatedSettings,
}
"""The settings of each probe; building one raises ValueError when a value is out of range."""

PROBES: Mapping[str, Callable[[Any], Probe]] = {
    "echo": EchoProbe,
    "connect": ConnectProbe,
    "interface": InterfaceProbe,
    "simulated": SimulatedProbe,
}
"""What makes each probe from its settings (SETTINGS under the same name); opens nothing yet."""
