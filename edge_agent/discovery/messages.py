"""What the agent and its discovery child say to each other: a request, then findings, a line each."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from typing import Any, TypeVar

T = TypeVar("T")

MAX_HOPS = 64
MAX_FINDINGS = 256
"""Lines that are taken of one child, and so the neighbours or hops of one round."""
MAX_TEXT = 255
PROTOCOLS = {"arp": 1, "nd": 2, "lldp": 3}
"""How a neighbour made itself known, as the contract's codes."""


class ChildError(Exception):
    """Why the child could not look: a message, and the error number of the system call, or 0."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


@dataclass(frozen=True, slots=True)
class PathRequest:
    """A trace: where to, with which constant flow, and how politely."""

    source: str
    target: str
    scope: int
    """Interface index of a link-local target, else 0."""
    source_port: int
    port: int
    hops: int
    attempts: int
    spacing_s: float
    """Between two probes."""
    wait_s: float
    """For the answers after the last probe of a pass."""
    sending: int
    """Raw socket that sends whole packets (a file descriptor)."""
    receiving: int
    """Raw ICMP socket that takes unreachable and time exceeded alone (a file descriptor)."""


@dataclass(frozen=True, slots=True)
class NeighbourRequest:
    """A look around: on which interfaces, for how long, and whom to ask for."""

    device: str
    listen_s: float
    ask: tuple[str, ...]
    source: str
    max_age_s: float
    """Entries of the kernel's table that were confirmed longer ago are left out."""
    arp: int
    """Packet socket of the device (a file descriptor)."""
    lldp: int
    """Packet socket of the physical interface below it (a file descriptor)."""
    icmp: int
    """Raw ICMPv6 socket of the device (a file descriptor), or -1 without IPv6."""


@dataclass(frozen=True, slots=True)
class Hop:
    """What answered at one distance; several for a distance when the path is not one."""

    hop: int
    sent: int
    answered: int
    address: str
    """Empty when nobody answered."""
    rtt_us: int | None
    reached: bool
    """The target itself answered."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Who is at the other end of an interface's wire, and how it is known."""

    protocol: str
    mac: str = ""
    address: str = ""
    port: str = ""
    """LLDP: the neighbour's own name for its end."""
    name: str = ""
    """LLDP: the neighbour's system name."""
    ttl_s: int | None = None
    """LLDP: how long what it says is good for, seconds."""


def write(finding: Hop | Neighbour | PathRequest | NeighbourRequest) -> str:
    """A finding or a request as one line."""
    return json.dumps(asdict(finding), separators=(",", ":"))


def write_error(error: ChildError) -> str:
    """The line that says why there are no findings."""
    return json.dumps({"error": error.message, "errno": error.code})


def read_hops(said: bytes) -> list[Hop]:
    """The child's hops; raises the ChildError that it wrote, ValueError for what is no hop."""
    return _read(said, _hop)


def read_neighbours(said: bytes) -> list[Neighbour]:
    """The child's neighbours; raises the ChildError that it wrote, ValueError for no neighbour."""
    return _read(said, _neighbour)


def _read(said: bytes, make: Callable[[dict[str, Any]], T]) -> list[T]:
    lines = said.decode().splitlines()
    if len(lines) > MAX_FINDINGS:
        raise ValueError(f"{len(lines)} findings")
    found = []
    for line in lines:
        try:
            given = json.loads(line)
        except RecursionError as exc:
            raise ValueError("nested too deep") from exc
        if not isinstance(given, dict):
            raise ValueError("a finding is no object")
        if "error" in given:
            raise ChildError(_text(given, "error"), _number(given, "errno", 0, 4095))
        found.append(make(given))
    return found


def _hop(given: dict[str, Any]) -> Hop:
    return Hop(
        _number(given, "hop", 1, MAX_HOPS),
        _number(given, "sent", 0, 255),
        _number(given, "answered", 0, 255),
        _address(given),
        None if given.get("rtt_us") is None else _number(given, "rtt_us", 0, 0xFFFF_FFFE),
        given.get("reached") is True,
    )


def _neighbour(given: dict[str, Any]) -> Neighbour:
    protocol = _text(given, "protocol")
    if protocol not in PROTOCOLS:
        raise ValueError(f"no protocol {protocol!r}")
    ttl_s = None if given.get("ttl_s") is None else _number(given, "ttl_s", 0, 0xFFFF)
    mac = _text(given, "mac")
    if mac and len(bytes.fromhex(mac.replace(":", ""))) != 6:
        raise ValueError(f"no MAC address {mac!r}")
    return Neighbour(protocol, mac, _address(given), _text(given, "port"), _text(given, "name"), ttl_s)


def _address(given: dict[str, Any]) -> str:
    text = _text(given, "address")
    return str(ip_address(text)) if text else ""


def _number(given: dict[str, Any], name: str, low: int, high: int) -> int:
    value = given.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} is no number from {low} to {high}")
    return value


def _text(given: dict[str, Any], name: str) -> str:
    value = given.get(name, "")
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise ValueError(f"{name} is no text")
    return value
