"""The agent's configuration: a TOML file, overridden by the environment, overridden by flags.

Every section is a frozen dataclass, every setting a field with its type, check and default; ``load`` lists
all that is wrong at once, each with its file and line, or the name of the variable or flag.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from edge_agent.contract import GATEWAY_PATTERN, LINK_PATTERN, Link
from edge_agent.probes import SETTINGS, Settings

DEFAULT_PATH = Path("/etc/edge-agent/agent.toml")
PUBLISHERS = ("paho", "awsiotsdk")
LEVELS = ("debug", "info", "warning", "error")

Check = Callable[[Any], str]
"""Says what is wrong with a value, as the end of a sentence that begins with its name; or nothing."""

_HOST = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_RULE = re.compile(r"[A-Za-z0-9_]{1,128}")


class ConfigError(Exception):
    """The configuration cannot be used; ``problems`` has a line for each thing to change."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def _between(low: float, high: float) -> Check:
    return lambda value: "" if low <= value <= high else f"is {value:g}, not {low:g} to {high:g}"


def _one_of(choices: Sequence[str]) -> Check:
    return lambda value: "" if value in choices else f"is {value!r}, not one of {', '.join(choices)}"


def _matches(pattern: re.Pattern[str], rule: str) -> Check:
    return lambda value: "" if pattern.fullmatch(value) else f"{value!r} is not {rule}"


def _host(value: str) -> str:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        if not _HOST.fullmatch(value):
            return f"{value!r} is not a host name or address (no scheme, no port)"
    return ""


def _short(value: str) -> str:
    return "" if len(value.encode()) <= 255 else "is longer than 255 bytes"


def _not_empty(value: Sequence[str]) -> str:
    return "" if value else "is empty: nothing would be measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """[gateway]: who this is; the name is the MQTT client id, the thing's name and the certificate's CN."""

    name: Annotated[str, _matches(GATEWAY_PATTERN, "a valid name: 1 to 63 letters, digits, - or _")]


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSettings:
    """[mqtt]: the broker and the credentials; relative paths start at the config file's folder."""

    endpoint: Annotated[str, _host]
    port: Annotated[int, _between(1, 65_535)] = 8883
    rule: Annotated[str, _matches(_RULE, "a rule's name: letters, digits or _")]
    """The AWS IoT rule of the Basic Ingest topic."""
    ca: Path
    certificate: Path
    key: Path
    publisher: Annotated[str, _one_of(PUBLISHERS)] = "paho"
    keepalive_s: Annotated[int, _between(30, 1200)] = 1200
    """AWS IoT Core takes 30 to 1200 s; the longest costs least data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolSettings:
    """[spool]: where readings wait."""

    path: Path = Path("/var/lib/edge-agent/spool.db")
    # The file is checked at each start: 1 GiB takes an SD card half a minute.
    max_mib: Annotated[int, _between(1, 1_024)] = 64
    commit_s: Annotated[float, _between(0.1, 3600)] = 10
    """Readings are written together this often: what a power cut can cost, and what an SD card suffers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UplinkSettings:
    """[uplink]: how batches leave."""

    flush_s: Annotated[float, _between(0.5, 3600)] = 60
    """How often readings are sealed into a batch and sent."""
    max_in_flight: Annotated[int, _between(1, 100)] = 8
    """Batches published and not yet acknowledged; AWS IoT Core allows 100."""
    backoff_max_s: Annotated[float, _between(1, 3600)] = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """[log]: what is said on stderr."""

    level: Annotated[str, _one_of(LEVELS)] = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """[[link]]: one link and the probes that measure it."""

    id: Annotated[str, _matches(LINK_PATTERN, "a valid id: 1 to 63 letters, digits or . _ : -")]
    peer: Annotated[str, _short] = ""
    interface: Annotated[str, _short] = ""
    next_hop: Annotated[str, _short] = ""
    vlan: Annotated[str, _short] = ""
    target: Annotated[str, _short] = ""
    medium: Annotated[str, _short] = ""
    metered: bool = False
    probes: Annotated[tuple[str, ...], _not_empty]

    @property
    def link(self) -> Link:
        """The link as the contract defines it."""
        return Link(
            self.id,
            self.peer,
            self.interface,
            self.next_hop,
            self.vlan,
            self.target,
            self.medium,
            self.metered,
        )


SECTIONS: Mapping[str, type[Any]] = {
    "gateway": GatewaySettings,
    "mqtt": MqttSettings,
    "spool": SpoolSettings,
    "uplink": UplinkSettings,
    "log": LogSettings,
    **{f"probe.{name}": settings for name, settings in SETTINGS.items()},
}
"""The tables of the file by name; [[link]] (LinkSettings) comes besides, any number of times."""


@dataclass(frozen=True, slots=True)
class Config:
    """All settings, checked."""

    gateway: GatewaySettings
    mqtt: MqttSettings
    spool: SpoolSettings
    uplink: UplinkSettings
    log: LogSettings
    probes: Mapping[str, Settings]
    """The settings of every probe, by its name."""
    links: tuple[LinkSettings, ...]
    warnings: tuple[str, ...] = ()
    """What works but should be changed, a line each."""

    @property
    def topic(self) -> str:
        """The Basic Ingest topic of this gateway (docs.aws.amazon.com/iot: Basic Ingest)."""
        return f"$aws/rules/{self.mqtt.rule}/v1/{self.gateway.name}/m"
