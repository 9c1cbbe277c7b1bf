"""One TCP connection over a link, timed: what connected, refused and silent mean is decided here."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
import time

from edge_agent.probes.binding import ProbedLink, bind
from edge_agent.probes.probe import ProbeError
from edge_agent.probes.resolve import Endpoint
from edge_agent.probes.socket_errors import probe_error

_TCP_INFO = 104
"""Bytes of struct tcp_info that are read (include/uapi/linux/tcp.h), to the end of tcpi_total_retrans."""
_ROUND_TRIP_AT, _SENT_AGAIN_AT = 68, 100
"""Of tcpi_rtt, µs, which after a handshake is its one sample, and of tcpi_total_retrans."""


def open_tcp(endpoint: Endpoint, link: ProbedLink) -> socket.socket:
    """A non-blocking socket kept on the link; raises ProbeError when this machine refuses."""
    try:
        opened = socket.socket(endpoint.family, socket.SOCK_STREAM)
    except OSError as exc:
        raise probe_error(exc, "open a TCP socket") from exc
    opened.setblocking(False)
    try:
        bind(opened, link)
    except ProbeError:
        opened.close()
        raise
    return opened


async def connect_tcp(opened: socket.socket, endpoint: Endpoint, port: int) -> tuple[int, int]:
    """Connect; returns the error code (0 for connected, ECONNREFUSED for refused) and the time taken, ns.

    The time is the kernel's own between its SYN and the answer, which does not wait until this process is
    run again; the process's where there is none, as after a SYN that was sent again. An error that comes at
    once is this machine's and raises ProbeError. A later one is the network's: a host that does not answer
    ARP, or a router's "unreachable".
    """
    started_ns = time.monotonic_ns()
    code = opened.connect_ex(endpoint.sockaddr(port))
    if code == errno.EINPROGRESS:
        code = await _outcome(opened)
    elif code not in (0, errno.ECONNREFUSED):
        raise probe_error(OSError(code, os.strerror(code)), f"connect to {endpoint.address}")
    took_ns = time.monotonic_ns() - started_ns
    return code, took_ns if code else min(took_ns, _handshake_ns(opened) or took_ns)


def _handshake_ns(opened: socket.socket) -> int | None:
    """The kernel's round trip of a handshake just finished; None when a segment was sent twice."""
    info = opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO)
    if len(info) < _TCP_INFO:
        return None
    (round_trip_us,) = struct.unpack_from("=I", info, _ROUND_TRIP_AT)
    (sent_again,) = struct.unpack_from("=I", info, _SENT_AGAIN_AT)
    return None if sent_again else round_trip_us * 1000


async def _outcome(opened: socket.socket) -> int:
    """The error code with which a pending connect ended, 0 for connected."""
    loop = asyncio.get_running_loop()
    writable = asyncio.Event()
    loop.add_writer(opened.fileno(), writable.set)
    try:
        await writable.wait()
    finally:
        loop.remove_writer(opened.fileno())
    return opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
