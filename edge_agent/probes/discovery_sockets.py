"""The sockets of discovery, opened and bound by the agent, which then hands them to the child."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from edge_agent.contract import Outcome
from edge_agent.probes.binding import ProbedLink, bind
from edge_agent.probes.probe import ProbeError
from edge_agent.probes.resolve import Endpoint
from edge_agent.probes.socket_errors import bind_to_interface, interface_index, probe_error

_TIMESTAMP = 35
_ICMP_FILTER = 1
"""Option of the level SOL_RAW (raw(7)), and of IPPROTO_ICMPV6 too (RFC 3542 section 3.2)."""
_SOL_RAW = 255
_ERRORS_4 = (3, 11)
_ERRORS_6 = (1, 3)
_DISCOVERY_6 = (134, 135, 136)
"""ICMP types: unreachable and time exceeded; router and neighbour advertisement, solicitation."""
_HOP_LIMIT_WANTED = 51
"""IPV6_RECVHOPLIMIT (ipv6(7))."""
_ARP, _LLDP = 0x0806, 0x88CC
_SOL_PACKET, _ADD_MEMBERSHIP, _MULTICAST = 263, 1, 0
_LLDP_GROUPS = (b"\1\x80\xc2\0\0\x0e", b"\1\x80\xc2\0\0\3", b"\1\x80\xc2\0\0\0")
"""Nearest bridge, non-TPMR bridge and customer bridge (IEEE 802.1AB section 7.1)."""
_FORBIDDEN = "looking at paths and neighbours needs CAP_NET_RAW: run it with sudo, or as the service"


@dataclass(frozen=True, slots=True)
class PathSockets:
    """What a trace goes over, and the address that it comes from."""

    sending: socket.socket
    receiving: socket.socket
    source: str


@dataclass(frozen=True, slots=True)
class NeighbourSockets:
    """What a look around listens on."""

    arp: socket.socket
    lldp: socket.socket
    icmp: socket.socket | None


@contextlib.contextmanager
def path_sockets(endpoint: Endpoint, port: int, link: ProbedLink) -> Iterator[PathSockets]:
    """Sockets for a trace; raises ProbeError when this machine refuses them or has no route."""
    with contextlib.ExitStack() as opened:
        # It sends nothing: routing tells it which address we send from.
        trying = opened.enter_context(_open(endpoint.family, socket.SOCK_DGRAM, 0))
        bind(trying, link)
        try:
            trying.connect(endpoint.sockaddr(port))
        except OSError as exc:
            raise probe_error(exc, f"reach {endpoint.address}") from exc
        source = str(trying.getsockname()[0]).partition("%")[0]
        sending = opened.enter_context(_open(endpoint.family, socket.SOCK_RAW, socket.IPPROTO_RAW))
        bind(sending, link)
        receiving = opened.enter_context(_icmp(endpoint.family, _ERRORS_4, _ERRORS_6))
        receiving.setsockopt(socket.SOL_SOCKET, _TIMESTAMP, 1)
        yield PathSockets(sending, receiving, source)


@contextlib.contextmanager
def neighbour_sockets(link: ProbedLink) -> Iterator[NeighbourSockets]:
    """Sockets to look around a link's interface; LLDP is heard below a VLAN, where it is spoken."""
    interface_index(link.device)
    with contextlib.ExitStack() as opened:
        arp = opened.enter_context(_packets(link.device, _ARP))
        lldp = opened.enter_context(_packets(link.interface, _LLDP))
        _join(lldp, interface_index(link.interface))
        icmp = _discovery()
        if icmp:
            opened.enter_context(icmp)
            bind_to_interface(icmp, link.device)
            icmp.setsockopt(socket.IPPROTO_IPV6, _HOP_LIMIT_WANTED, 1)
        yield NeighbourSockets(arp, lldp, icmp)


def _discovery() -> socket.socket | None:
    """A socket for neighbour discovery; None on a machine without IPv6."""
    try:
        return _icmp(socket.AF_INET6, (), _DISCOVERY_6)
    except ProbeError as error:
        if error.outcome is Outcome.DENIED:
            raise
        return None


def _open(family: int, kind: int, protocol: int) -> socket.socket:
    try:
        return socket.socket(family, kind, protocol)
    except PermissionError as exc:
        raise ProbeError(Outcome.DENIED, _FORBIDDEN) from exc
    except OSError as exc:
        raise probe_error(exc, "open a raw socket") from exc


def _icmp(family: int, types_4: tuple[int, ...], types_6: tuple[int, ...]) -> socket.socket:
    """A raw ICMP socket that takes these types alone; from any interface: answers may take another."""
    if family == socket.AF_INET:
        opened = _open(family, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        opened.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", _all_but(types_4)))
        return opened
    opened = _open(family, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    words = [_all_but(tuple(kind - 32 * word for kind in types_6)) for word in range(8)]
    opened.setsockopt(socket.IPPROTO_ICMPV6, _ICMP_FILTER, struct.pack("=8I", *words))
    return opened


def _all_but(types: tuple[int, ...]) -> int:
    """The bits of what a filter blocks."""
    return 0xFFFF_FFFF & ~sum(1 << kind for kind in types if 0 <= kind < 32)


def _packets(interface: str, protocol: int) -> socket.socket:
    # Protocol 0 hears nothing: so no frame of another interface comes before it is bound.
    opened = _open(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        opened.bind((interface, protocol))
    except OSError as exc:
        opened.close()
        raise probe_error(exc, f"listen on {interface}") from exc
    return opened


def _join(opened: socket.socket, index: int) -> None:
    """Ask the interface for the groups of LLDP, which it else drops."""
    for group in _LLDP_GROUPS:
        wanted = struct.pack("=iHH8s", index, _MULTICAST, len(group), group)
        with contextlib.suppress(OSError):  # an interface without groups (a tunnel) has no LLDP either
            opened.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, wanted)
