"""A UDP socket with the kernel's time of what it sends and receives, and the TTL of what it receives."""

from __future__ import annotations

import errno
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

from edge_agent.probes.binding import ProbedLink, bind
from edge_agent.probes.probe import ProbeError
from edge_agent.probes.resolve import Endpoint
from edge_agent.probes.socket_errors import probe_error
from edge_agent.probes.stamps import SO_TIMESTAMPING, Control, Stamp, kernel_time_ns, time_to_live

SockAddr = tuple[str, int] | tuple[str, int, int, int]

_STAMP_RECEIVED = 1 << 3 | 1 << 4
_STAMP_SENT = 1 << 1
_MSG_ERRQUEUE = 0x2000
_IP_RECVTTL = 12
_IPV6_RECVHOPLIMIT = 51
_SO_MEMINFO, _MEMINFO = 55, struct.Struct("=9I")
_PACKET_SIZE = 2_048
_CONTROL_SIZE = 512
_TRIES = 5
_AT_ONCE_NS = 100_000
_BATCH = 128
"""Datagrams taken at one go, more than a session has: a flood must not keep the event loop from all else."""


@dataclass(frozen=True, slots=True)
class Datagram:
    """What was received, from where, when and with which TTL."""

    data: bytes
    source: SockAddr
    at: Stamp
    ttl: int | None
    control: Control


def moment(kernel_ns: int | None = None) -> Stamp:
    """A stamp of now whose two clocks were read at once: a pause between them would look like a step."""
    for _ in range(_TRIES):
        monotonic_ns, wall_ns = time.monotonic_ns(), time.time_ns()
        if time.monotonic_ns() - monotonic_ns < _AT_ONCE_NS:
            break
    return Stamp(monotonic_ns, wall_ns, kernel_ns)


def open_udp(link: ProbedLink, endpoint: Endpoint, port: int, sent: bool) -> socket.socket:
    """A socket on the link that takes datagrams of this far end alone, with stamps (of what it has ``sent``
    too); raises ProbeError when this machine cannot."""
    try:
        opened = socket.socket(endpoint.family, socket.SOCK_DGRAM)
    except OSError as exc:
        raise probe_error(exc, "open a UDP socket") from exc
    try:
        opened.setblocking(False)
        bind(opened, link)
        ask_for_stamps(opened, sent)
        opened.connect(endpoint.sockaddr(port))
    except OSError as exc:
        opened.close()
        raise probe_error(exc, f"reach {endpoint.address}") from exc
    except ProbeError:
        opened.close()
        raise
    return opened


def ask_for_stamps(opened: socket.socket, sent: bool) -> None:
    """Ask for kernel timestamps and TTLs; without them user space stamps, and readings say so."""
    flags = _STAMP_RECEIVED | (_STAMP_SENT if sent else 0)
    options = [(socket.SOL_SOCKET, SO_TIMESTAMPING, flags), (socket.IPPROTO_IP, _IP_RECVTTL, 1)]
    if opened.family == socket.AF_INET6:
        options.append((socket.IPPROTO_IPV6, _IPV6_RECVHOPLIMIT, 1))
    for level, option, value in options:
        try:
            opened.setsockopt(level, option, value)
        except OSError:
            continue


def received(opened: socket.socket) -> Iterator[Datagram]:
    """The datagrams that wait, a batch of them at most; raises ConnectionRefusedError for a closed port."""
    for _ in range(_BATCH):
        try:
            data, control, _, source = opened.recvmsg(_PACKET_SIZE, _CONTROL_SIZE)
        except ConnectionRefusedError:
            raise
        except OSError as exc:
            if exc.errno in (errno.EAGAIN, errno.EINTR, errno.EBADF):
                return
            continue  # an asynchronous error, cleared by having been told
        yield Datagram(data, source, moment(kernel_time_ns(control)), time_to_live(control), control)


def transmitted(opened: socket.socket, size: int) -> Iterator[tuple[bytes, int]]:
    """The payloads of ``size`` bytes that left, with the kernel's time of that (CLOCK_REALTIME, ns)."""
    for _ in range(_BATCH):
        try:
            packet, control, _, _ = opened.recvmsg(_PACKET_SIZE, _CONTROL_SIZE, _MSG_ERRQUEUE)
        except OSError:
            return
        kernel_ns = kernel_time_ns(control)
        if kernel_ns is not None:
            yield packet[-size:], kernel_ns


def dropped(opened: socket.socket) -> int:
    """Datagrams that the kernel threw away since the socket was opened: it was full, or they were damaged."""
    try:
        facts = opened.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        return int(_MEMINFO.unpack(facts)[-1])
    except (OSError, struct.error):  # before Linux 4.12
        return 0


def forget_transmitted(opened: socket.socket) -> None:
    """Empty the queue of what left: while there is something in it, the socket is always ready."""
    for _ in transmitted(opened, 0):
        pass
