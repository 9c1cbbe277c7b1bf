"""The probes: how each kind of measurement is taken, by the name used in the config."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edge_agent.probes.bulk import BulkProbe, BulkSettings
from edge_agent.probes.capacity import CapacityProbe, CapacitySettings
from edge_agent.probes.connect import ConnectProbe, ConnectSettings
from edge_agent.probes.dns import DnsProbe, DnsSettings
from edge_agent.probes.echo import EchoProbe, EchoSettings
from edge_agent.probes.host import HostProbe, HostSettings
from edge_agent.probes.http import HttpProbe, HttpSettings
from edge_agent.probes.interface import InterfaceProbe, InterfaceSettings
from edge_agent.probes.load import LoadProbe, LoadSettings
from edge_agent.probes.neighbour import NeighbourProbe, NeighbourSettings
from edge_agent.probes.path import PathProbe, PathSettings
from edge_agent.probes.probe import Cadence, Measurement, Probe, ProbeError
from edge_agent.probes.simulated import SimulatedProbe, SimulatedSettings
from edge_agent.probes.stamp import StampProbe, StampSettings

__all__ = [
    "PROBES",
    "SETTINGS",
    "BulkSettings",
    "CapacitySettings",
    "ConnectSettings",
    "DnsSettings",
    "EchoSettings",
    "HostSettings",
    "HttpSettings",
    "InterfaceSettings",
    "LoadSettings",
    "Measurement",
    "NeighbourSettings",
    "PathSettings",
    "Probe",
    "ProbeError",
    "Settings",
    "SimulatedSettings",
    "StampSettings",
]

Settings = Cadence
"""The settings of any probe: when it runs, and what each adds to that."""

SETTINGS: Mapping[str, type[Settings]] = {
    "echo": EchoSettings,
    "connect": ConnectSettings,
    "http": HttpSettings,
    "dns": DnsSettings,
    "stamp": StampSettings,
    "capacity": CapacitySettings,
    "bulk": BulkSettings,
    "load": LoadSettings,
    "interface": InterfaceSettings,
    "path": PathSettings,
    "neighbour": NeighbourSettings,
    "host": HostSettings,
    "simulated": SimulatedSettings,
}
"""The settings of each probe; building one raises ValueError when a value is out of range."""

PROBES: Mapping[str, Callable[..., Probe]] = {
    "echo": EchoProbe,
    "connect": ConnectProbe,
    "http": HttpProbe,
    "dns": DnsProbe,
    "stamp": StampProbe,
    "capacity": CapacityProbe,
    "bulk": BulkProbe,
    "load": LoadProbe,
    "interface": InterfaceProbe,
    "path": PathProbe,
    "neighbour": NeighbourProbe,
    "host": HostProbe,
    "simulated": SimulatedProbe,
}
"""What makes each probe from its settings (SETTINGS under the same name); opens nothing yet."""
