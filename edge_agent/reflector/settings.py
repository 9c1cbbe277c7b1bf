"""[reflector]: what this machine answers, to whom, and how much of it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from edge_agent.probes.probe import require_between

SECTION = "reflector"
STAMP_PORT = 862
"""UDP port of STAMP (RFC 8762 section 4.1)."""
TRAIN_PORT = 8620
NEARBY = (
    "127.0.0.0/8",
    "::1/128",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
)
"""Addresses that are not of the public Internet: loopback, private (RFC 1918), unique local, link-local."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReflectorSettings:
    """[reflector]: who may measure towards this machine; nobody until it is enabled."""

    enabled: bool = False
    listen: str = "::"
    """Address to listen on; "::" is every IPv6 and IPv4 address of this machine."""
    port: int = STAMP_PORT
    """UDP port of STAMP; below 1024 it needs root or CAP_NET_BIND_SERVICE."""
    allow: tuple[str, ...] = NEARBY
    """Networks (CIDR) that are answered; all others are ignored in silence."""
    packets_per_s: int = 1_000
    """Answers of each service to one source, and a burst of one second's; more looks like loss to it."""
    packets_per_s_in_all: int = 10_000
    key_file: Path | None = None
    """A file with the key shared with the senders: only authenticated packets are then answered."""
    train_port: int = TRAIN_PORT
    """UDP port of capacity trains, and TCP port of bulk transfers."""
    bulk: bool = False
    """Take bulk transfers over TCP."""
    bulk_max_mb: int = 10
    """The most that one bulk transfer may bring, in 1,000,000 B."""

    def __post_init__(self) -> None:
        require_between(SECTION, "port", self.port, 0, 65_535)
        require_between(SECTION, "train_port", self.train_port, 0, 65_535)
        if self.port == self.train_port != 0:
            raise ValueError(f"{SECTION}: port and train_port are both {self.port}: each needs its own")
        require_between(SECTION, "packets_per_s", self.packets_per_s, 1, 1_000_000)
        require_between(SECTION, "packets_per_s_in_all", self.packets_per_s_in_all, 1, 1_000_000)
        require_between(SECTION, "bulk_max_mb", self.bulk_max_mb, 1, 10_000)
        _require_address(self.listen)
        for network in self.allow:
            _require_network(network)
        if self.enabled and not self.allow:
            raise ValueError(f"{SECTION}: allow is empty: nobody would be answered")


def _require_address(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError as exc:
        raise ValueError(f"{SECTION}: listen is {text!r}, not an IP address") from exc


def _require_network(text: str) -> None:
    try:
        ipaddress.ip_network(text)
    except ValueError as exc:
        raise ValueError(f"{SECTION}: allow has {text!r}, not a network such as 10.0.0.0/8: {exc}") from exc
