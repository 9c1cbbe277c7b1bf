"""The kernel's neighbour tables, of ARP and of neighbour discovery, over rtnetlink (rtnetlink(7))."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator
from ipaddress import ip_address

from edge_agent.discovery.messages import Neighbour

_HEADER = struct.Struct("=IHHII")
_NEIGHBOUR = struct.Struct("=BxxxiHBB")
_AGES = struct.Struct("=IIII")
_ERROR, _DONE, _NEW, _GET = 2, 3, 28, 30
_REQUEST_DUMP = 0x301
_ADDRESS, _MAC, _CACHE = 1, 2, 3
_SEEN = 0x02 | 0x04 | 0x08 | 0x10
"""Reachable, stale, delay, probe: what somebody answered; not failed, not configured by hand."""
_TICKS_A_SECOND = 100
"""USER_HZ, in which the kernel tells ages on every architecture."""
_FAMILIES = {socket.AF_INET: "arp", socket.AF_INET6: "nd"}
MAX_PIECES = 4096


def request(family: int) -> bytes:
    """The message that asks for a family's whole table."""
    body = _NEIGHBOUR.pack(family, 0, 0, 0, 0)
    return _HEADER.pack(_HEADER.size + len(body), _GET, _REQUEST_DUMP, 1, 0) + body


def read(piece: bytes, interface: int, max_age_s: float) -> tuple[list[Neighbour], bool]:
    """Neighbours on an interface in one piece of the answer, and whether it is the last.

    Raises OSError when the kernel refuses, ValueError when the bytes are not its format.
    """
    found: list[Neighbour] = []
    for kind, body in _split(piece, _HEADER.size):
        if kind == _DONE:
            return found, True
        if kind == _ERROR:
            code = -int.from_bytes(body[:4], sys.byteorder, signed=True)
            raise OSError(code, os.strerror(code) if 0 < code < 4096 else "no reason given")
        if kind == _NEW and (neighbour := _neighbour(body, interface, max_age_s)):
            found.append(neighbour)
    return found, False


def _split(data: bytes, head: int) -> Iterator[tuple[int, bytes]]:
    """Kind and body of each netlink message (head 16) or attribute (head 4), which are 4-byte aligned."""
    at = 0
    while at + head <= len(data):
        length, kind = struct.unpack_from("=IH" if head == _HEADER.size else "=HH", data, at)
        if not head <= length <= len(data) - at:
            raise ValueError(f"{length} B in {len(data) - at} B of netlink")
        yield kind, data[at + head : at + length]
        at += (length + 3) & ~3


def _neighbour(body: bytes, interface: int, max_age_s: float) -> Neighbour | None:
    if len(body) < _NEIGHBOUR.size:
        raise ValueError("a neighbour is cut short")
    family, index, state, _, _ = _NEIGHBOUR.unpack_from(body)
    fields = dict(_split(body[_NEIGHBOUR.size :], 4))
    address, mac = fields.get(_ADDRESS, b""), fields.get(_MAC, b"")
    if index != interface or not state & _SEEN or len(mac) != 6 or family not in _FAMILIES:
        return None
    if len(address) not in (4, 16) or _age_s(fields.get(_CACHE, b"")) > max_age_s:
        return None
    return Neighbour(_FAMILIES[family], mac.hex(":"), str(ip_address(address)))


def _age_s(cache: bytes) -> float:
    """Seconds since the neighbour was last confirmed to be there."""
    if len(cache) < _AGES.size:
        return 0
    confirmed, _, _, _ = _AGES.unpack_from(cache)
    return float(confirmed / _TICKS_A_SECOND)


def neighbours(interface: int, max_age_s: float) -> list[Neighbour]:
    """Who the kernel knows on an interface (index); needs no privilege."""
    found: list[Neighbour] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asking:
        asking.settimeout(5)
        for family in _FAMILIES:
            asking.send(request(family))
            found += _answer(asking, interface, max_age_s)
    return found


def _answer(asking: socket.socket, interface: int, max_age_s: float) -> list[Neighbour]:
    found: list[Neighbour] = []
    for _ in range(MAX_PIECES):
        some, last = read(asking.recv(65_536), interface, max_age_s)
        found += some
        if last:
            return found
    raise OSError(errno.E2BIG, "the neighbour table has no end")
