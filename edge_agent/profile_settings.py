"""The metered profile: what each probe does where every byte costs, [metered.NAME] in the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_agent.probes import (
    BulkSettings,
    CapacitySettings,
    ConnectSettings,
    DnsSettings,
    EchoSettings,
    HostSettings,
    HttpSettings,
    InterfaceSettings,
    LoadSettings,
    NeighbourSettings,
    PathSettings,
    Settings,
    SimulatedSettings,
    StampSettings,
)

HOUR_S, DAY_S = 3_600, 86_400


@dataclass(frozen=True, slots=True)
class MeteredEcho(EchoSettings):
    """20 packets of 60 bytes (IPv4) every 5 minutes: 21.4 MB in a month of 31 days."""

    period_s: float = 300
    timeout_s: float = 10
    count: int = 20
    size: int = 32


@dataclass(frozen=True, slots=True)
class MeteredConnect(ConnectSettings):
    """One connection every two hours."""

    period_s: float = 2 * HOUR_S
    timeout_s: float = 10
    count: int = 1


@dataclass(frozen=True, slots=True)
class MeteredHttp(HttpSettings):
    """A page every two days."""

    period_s: float = 2 * DAY_S
    timeout_s: float = 20


@dataclass(frozen=True, slots=True)
class MeteredDns(DnsSettings):
    """One query every two hours."""

    period_s: float = 2 * HOUR_S
    timeout_s: float = 10
    count: int = 1


@dataclass(frozen=True, slots=True)
class MeteredStamp(StampSettings):
    """10 packets every four hours: the echoes watch the link, this tells its directions apart."""

    period_s: float = 4 * HOUR_S
    timeout_s: float = 10


@dataclass(frozen=True, slots=True)
class MeteredCapacity(CapacitySettings):
    """One train a week."""

    period_s: float = 7 * DAY_S


@dataclass(frozen=True, slots=True)
class MeteredBulk(BulkSettings):
    """A short transfer a month."""

    period_s: float = 30 * DAY_S
    max_bytes: int = 500_000


@dataclass(frozen=True, slots=True)
class MeteredLoad(LoadSettings):
    """Free to measure; its readings are not free to send."""

    period_s: float = HOUR_S


@dataclass(frozen=True, slots=True)
class MeteredInterface(InterfaceSettings):
    """Free to read; its readings are not free to send."""

    period_s: float = 300


@dataclass(frozen=True, slots=True)
class MeteredPath(PathSettings):
    """One packet to each router, once a day."""

    period_s: float = DAY_S
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class MeteredNeighbour(NeighbourSettings):
    """One look around a day."""

    period_s: float = DAY_S


@dataclass(frozen=True, slots=True)
class MeteredHost(HostSettings):
    """Free to read; its readings are not free to send."""

    period_s: float = 900


@dataclass(frozen=True, slots=True)
class MeteredSimulated(SimulatedSettings):
    """As rarely as echoes are sent."""

    period_s: float = 300


METERED: Mapping[str, type[Settings]] = {
    "echo": MeteredEcho,
    "connect": MeteredConnect,
    "http": MeteredHttp,
    "dns": MeteredDns,
    "stamp": MeteredStamp,
    "capacity": MeteredCapacity,
    "bulk": MeteredBulk,
    "load": MeteredLoad,
    "interface": MeteredInterface,
    "path": MeteredPath,
    "neighbour": MeteredNeighbour,
    "host": MeteredHost,
    "simulated": MeteredSimulated,
}
"""The settings of each probe on metered links, by its name."""
