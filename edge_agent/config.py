"""The agent's configuration: a TOML file, overridden by the environment, overridden by flags.

Every section is a frozen dataclass, every setting a field with its type, check and default; ``load`` lists
all that is wrong at once, each with its file and line, or the name of the variable or flag.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

from edge_agent.config_checks import (
    address_or_nothing,
    between,
    each_of,
    host,
    matches,
    not_empty,
    one_of,
    proxy_or_nothing,
    short,
)
from edge_agent.contract import GATEWAY_PATTERN, LINK_PATTERN, Link
from edge_agent.probes import SETTINGS, Settings
from edge_agent.probes.binding import ProbedLink
from edge_agent.profile_settings import METERED
from edge_agent.reflector.settings import ReflectorSettings

DEFAULT_PATH = Path("/etc/edge-agent/agent.toml")
PUBLISHERS = ("paho", "awsiotsdk")
PROFILES = ("auto", "open", "metered")
WHEN_FULL = ("drop-oldest", "thin")
ORDERS = ("newest-first", "oldest-first")
LEVELS = ("debug", "info", "warning", "error")
GATEWAY_PROBES = ("host",)
"""Probes of the gateway itself, not of a link."""
GATEWAY_LINK = "host"
"""The link id that the gateway's own readings have."""

_RULE = re.compile(r"[A-Za-z0-9_]{1,128}")


class ConfigError(Exception):
    """The configuration cannot be used; ``problems`` has a line for each thing to change."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """[gateway]: who this is; the name is the MQTT client id, the thing's name and the certificate's CN."""

    name: Annotated[str, matches(GATEWAY_PATTERN, "a valid name: 1 to 63 letters, digits, - or _")]
    probes: Annotated[tuple[str, ...], each_of(GATEWAY_PROBES)] = ()
    """What is measured of the gateway itself."""
    profile: Annotated[str, one_of(PROFILES)] = "auto"
    """How dear each byte is; "auto": metered for links and ways out that are, open for the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSettings:
    """[mqtt]: the broker and the credentials; relative paths start at the config file's folder."""

    endpoint: Annotated[str, host]
    port: Annotated[int, between(1, 65_535)] = 8883
    rule: Annotated[str, matches(_RULE, "a rule's name: letters, digits or _")]
    """The AWS IoT rule of the Basic Ingest topic."""
    ca: Path
    certificate: Path
    key: Path
    publisher: Annotated[str, one_of(PUBLISHERS)] = "paho"
    keepalive_s: Annotated[int, between(30, 1200)] = 1200
    """AWS IoT Core takes 30 to 1200 s; the longest costs least data."""
    proxy: Annotated[str, proxy_or_nothing] = ""
    """An HTTP proxy to reach the broker through, as http://host:port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolSettings:
    """[spool]: where readings wait."""

    path: Path = Path("/var/lib/edge-agent/spool")
    """A folder."""
    # What is held is checked at each start: 1 GiB takes an SD card half a minute.
    max_mib: Annotated[int, between(1, 1_024)] = 64
    commit_s: Annotated[float, between(0.1, 3600)] = 10
    """Readings are written together this often: what a power cut can cost, and what an SD card suffers."""
    full: Annotated[str, one_of(WHEN_FULL)] = "drop-oldest"
    """What gives way when it is full: the oldest readings, or every second of what was never sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UplinkSettings:
    """[uplink]: how batches leave."""

    flush_s: Annotated[float, between(0.5, 3600)] = 60
    """How often readings are sealed into a batch and sent."""
    max_in_flight: Annotated[int, between(1, 100)] = 8
    """Batches published and not yet acknowledged; AWS IoT Core allows 100."""
    backoff_max_s: Annotated[float, between(1, 3600)] = 60
    order: Annotated[str, one_of(ORDERS)] = "newest-first"
    """Of a backlog; what was measured just now never waits for it."""
    boot_delay_s: Annotated[float, between(0, 3600)] = 30
    """The longest random wait before the first connection after the machine has started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSettings:
    """[clock]: what to do while the wall clock cannot be believed."""

    wait_s: Annotated[float, between(0, 86_400)] = 300
    """How long after its start the agent holds readings back for a first synchronisation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSettings:
    """[budget]: what the agent may send and receive over metered interfaces, everything included."""

    interfaces: tuple[str, ...] = ()
    """Interfaces on which each byte costs, besides those of the links that are metered."""
    month_mb: Annotated[float, between(0, 1_000_000)] = 0
    """MB (1,000,000 B) a month for each metered interface; 0: 30 for each metered link on it."""
    day_mb: Annotated[float, between(0, 1_000_000)] = 0
    """MB a day; 0: a tenth of the month's."""
    hour_mb: Annotated[float, between(0, 1_000_000)] = 0
    """MB an hour; 0: a quarter of the day's."""
    reset_day: Annotated[int, between(1, 28)] = 1
    """The day of the month on which the SIM's month begins, UTC."""
    reserve: Annotated[float, between(0, 0.5)] = 0.05
    """The part of the month that only alarms may use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """[log]: what is said on stderr."""

    level: Annotated[str, one_of(LEVELS)] = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """[[link]]: one link and the probes that measure it."""

    id: Annotated[str, matches(LINK_PATTERN, "a valid id: 1 to 63 letters, digits or . _ : -")]
    peer: Annotated[str, short] = ""
    interface: Annotated[str, short] = ""
    next_hop: Annotated[str, address_or_nothing] = ""
    """Where packets of the link must go first; a probe that routing takes elsewhere does not measure."""
    source: Annotated[str, address_or_nothing] = ""
    """Address that probes send from, for `ip rule add from SOURCE`."""
    mark: Annotated[int, between(0, (1 << 32) - 1)] = 0
    """Routing mark of what probes send, for `ip rule add fwmark MARK`; 0 for none."""
    vlan: Annotated[str, short] = ""
    target: Annotated[str, short] = ""
    medium: Annotated[str, short] = ""
    metered: bool = False
    probes: Annotated[tuple[str, ...], not_empty]

    @property
    def link(self) -> Link:
        """The link as the contract defines it."""
        return Link(**{name: getattr(self, name) for name in Link.__slots__})

    @property
    def probed(self) -> ProbedLink:
        """The link as this machine's probes reach it."""
        return ProbedLink(**{each.name: getattr(self, each.name) for each in fields(ProbedLink)})


SECTIONS: Mapping[str, type[Any]] = {
    "gateway": GatewaySettings,
    "mqtt": MqttSettings,
    "spool": SpoolSettings,
    "uplink": UplinkSettings,
    "clock": ClockSettings,
    "budget": BudgetSettings,
    "log": LogSettings,
    "reflector": ReflectorSettings,
    **{f"probe.{name}": settings for name, settings in SETTINGS.items()},
    **{f"metered.{name}": settings for name, settings in METERED.items()},
}
"""The tables of the file by name; [[link]] (LinkSettings) comes besides, any number of times."""


@dataclass(frozen=True, slots=True)
class Config:
    """All settings, checked."""

    gateway: GatewaySettings
    mqtt: MqttSettings
    spool: SpoolSettings
    uplink: UplinkSettings
    clock: ClockSettings
    budget: BudgetSettings
    log: LogSettings
    reflector: ReflectorSettings
    probes: Mapping[str, Settings]
    """The settings of every probe on open links, by its name."""
    metered: Mapping[str, Settings]
    """The same on metered links."""
    links: tuple[LinkSettings, ...]
    warnings: tuple[str, ...] = ()
    """What works but should be changed, a line each."""

    @property
    def topic(self) -> str:
        """The Basic Ingest topic of this gateway (docs.aws.amazon.com/iot: Basic Ingest)."""
        return f"$aws/rules/{self.mqtt.rule}/v1/{self.gateway.name}/m"
