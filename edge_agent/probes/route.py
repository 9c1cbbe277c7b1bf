"""The way that this machine's routing takes to a target: what the kernel answers over rtnetlink(7)."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

# linux/netlink.h and linux/rtnetlink.h; all of it is in the byte order and the alignment of the machine.
_MESSAGE = struct.Struct("=IHHII")
_ROUTE = struct.Struct("=BBBBBBBBI")
_ATTRIBUTE = struct.Struct("=HH")
_NUMBER = struct.Struct("=I")
_ERROR = struct.Struct("=i")
_NLMSG_ERROR, _RTM_NEWROUTE, _RTM_GETROUTE = 2, 24, 26
_NLM_F_REQUEST = 1
_DST, _SRC, _OIF, _GATEWAY, _PREFSRC, _MARK, _VIA = 1, 2, 4, 5, 7, 16, 18
_TYPE_BITS = 0x3FFF
"""Of an attribute's type; the others say that it is nested or in network order."""
_UNUSABLE = (6, 7, 8)
"""Route types blackhole, unreachable and prohibit: an answer that says that nothing is sent."""

_AF_NETLINK = getattr(socket, "AF_NETLINK", 16)
_REPLY_MAX = 16_384
_STALE_MAX = 16
"""Replies to earlier questions, left unread by an error, that are passed over."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a packet is routed by; empty or 0 for what is left to the kernel."""

    target: str
    interface_index: int = 0
    source: str = ""
    mark: int = 0


@dataclass(frozen=True, slots=True)
class Route:
    """The way that the kernel would send such a packet."""

    interface_index: int
    gateway: str = ""
    """The next hop; empty when the target is on the link itself."""
    source: str = ""


def encode(question: Question, sequence: int) -> bytes:
    """An RTM_GETROUTE request; raises ValueError when an address is none, or the families differ."""
    target = ipaddress.ip_address(question.target)
    attributes, source_bits = [_attribute(_DST, target.packed)], 0
    if question.source:
        source = ipaddress.ip_address(question.source.partition("%")[0])
        if source.version != target.version:
            raise ValueError(f"{target} cannot be reached from {source}: not of one address family")
        attributes.append(_attribute(_SRC, source.packed))
        source_bits = source.max_prefixlen
    for kind, number in ((_OIF, question.interface_index), (_MARK, question.mark)):
        if number:
            attributes.append(_attribute(kind, _NUMBER.pack(number)))
    family = socket.AF_INET if target.version == 4 else socket.AF_INET6
    body = _ROUTE.pack(family, target.max_prefixlen, source_bits, 0, 0, 0, 0, 0, 0) + b"".join(attributes)
    return _MESSAGE.pack(_MESSAGE.size + len(body), _RTM_GETROUTE, _NLM_F_REQUEST, sequence, 0) + body


def _attribute(kind: int, value: bytes) -> bytes:
    """Addresses and numbers, which need no padding."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value


def parse(reply: bytes, sequence: int) -> Route | None:
    """The route in a reply, None when it answers another request.

    Raises OSError when the kernel knows no way, ValueError when the bytes are no such reply.
    """
    try:
        length, kind, _, number, _ = _MESSAGE.unpack_from(reply)
        if number != sequence:
            return None
        body = reply[_MESSAGE.size : length]
        if kind == _NLMSG_ERROR:
            raise _os_error(-_ERROR.unpack_from(body)[0])
        if kind != _RTM_NEWROUTE:
            raise ValueError(f"netlink message {kind} is no route")
        route_type = _ROUTE.unpack_from(body)[7]
        if route_type in _UNUSABLE:
            raise _os_error(errno.EHOSTUNREACH)
        return _route(dict(_attributes(body[_ROUTE.size :])))
    except struct.error as exc:
        raise ValueError(f"the kernel's answer is cut short: {exc}") from exc


def _os_error(code: int) -> OSError:
    return OSError(code, os.strerror(code) if 0 < code < 4096 else f"error {code}")


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if not _ATTRIBUTE.size <= length <= len(data) - at:
            raise ValueError(f"an attribute of {length} B does not fit the kernel's answer")
        yield kind & _TYPE_BITS, data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3


def _route(found: dict[int, bytes]) -> Route:
    # RTA_VIA, a next hop of the other family (RFC 5549), begins with that family.
    gateway = found.get(_GATEWAY) or found.get(_VIA, b"")[2:]
    return Route(
        _NUMBER.unpack(found[_OIF])[0] if _OIF in found else 0,
        _address(gateway),
        _address(found.get(_PREFSRC, b"")),
    )


def _address(packed: bytes) -> str:
    return str(ipaddress.ip_address(packed)) if packed else ""


class RoutesUnknown(Exception):
    """The kernel cannot be asked: no Linux, or no AF_NETLINK for this process."""


class Routes:
    """Asks the kernel, which needs no privilege and takes some 20 µs; it answers within the call."""

    def __init__(self) -> None:
        self._opened: socket.socket | None = None
        self._sequence = 0

    def ask(self, question: Question) -> Route:
        """The route; raises OSError when there is none, ValueError for an answer that makes no sense.

        Raises RoutesUnknown when the kernel cannot be asked at all.
        Where packets are spread over several next hops, it is that of packets without ports.
        """
        opened = self._socket()
        self._sequence = (self._sequence + 1) & 0xFFFF_FFFF
        opened.send(encode(question, self._sequence))
        for _ in range(_STALE_MAX):
            route = parse(opened.recv(_REPLY_MAX), self._sequence)
            if route:
                return route
        raise ValueError("the kernel answers other questions than this one")

    def _socket(self) -> socket.socket:
        if self._opened is None:
            try:
                self._opened = socket.socket(_AF_NETLINK, socket.SOCK_RAW, 0)
            except OSError as exc:
                raise RoutesUnknown(f"the kernel cannot be asked for routes: {exc.strerror}") from exc
            self._opened.setblocking(False)
        return self._opened

    def close(self) -> None:
        """Close the socket; the next question opens another."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None
