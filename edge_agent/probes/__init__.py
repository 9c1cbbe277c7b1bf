"""The probes: how each kind of measurement is taken, by the name used in the config."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

from edge_agent.probes.bulk_settings import BulkSettings
from edge_agent.probes.capacity_settings import CapacitySettings
from edge_agent.probes.connect_settings import ConnectSettings
from edge_agent.probes.dns_settings import DnsSettings
from edge_agent.probes.echo_settings import EchoSettings
from edge_agent.probes.host_settings import HostSettings
from edge_agent.probes.http_settings import HttpSettings
from edge_agent.probes.interface_settings import InterfaceSettings
from edge_agent.probes.load_settings import LoadSettings
from edge_agent.probes.neighbour_settings import NeighbourSettings
from edge_agent.probes.path_settings import PathSettings
from edge_agent.probes.probe import Cadence, Measurement, Probe, ProbeError
from edge_agent.probes.simulated_settings import SimulatedSettings
from edge_agent.probes.stamp_settings import StampSettings

__all__ = [
    "KIND_OF",
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
    "probe_class",
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

PROBES: Mapping[str, str] = {
    "echo": "EchoProbe",
    "connect": "ConnectProbe",
    "http": "HttpProbe",
    "dns": "DnsProbe",
    "stamp": "StampProbe",
    "capacity": "CapacityProbe",
    "bulk": "BulkProbe",
    "load": "LoadProbe",
    "interface": "InterfaceProbe",
    "path": "PathProbe",
    "neighbour": "NeighbourProbe",
    "host": "HostProbe",
    "simulated": "SimulatedProbe",
}
"""The class of each probe, in the module of its name."""
KIND_OF: Mapping[str, str] = {**{name: name for name in PROBES}, "simulated": "echo"}
"""The kind of the readings of each."""


def probe_class(name: str) -> Callable[..., Probe]:
    """What makes a probe from its settings (SETTINGS under the same name); opens nothing yet.

    Imported here, so that an agent carries only the probes that it uses.
    """
    made: Callable[..., Probe] = getattr(import_module(f"edge_agent.probes.{name}"), PROBES[name])
    return made
