"""One TCP connection over a link, timed: what connected, refused and silent mean is decided here."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
import time
from contextlib import suppress

from edge_agent.probes.binding import ProbedLink, bind
from edge_agent.probes.probe import ProbeError
from edge_agent.probes.resolve import Endpoint
from edge_agent.probes.socket_errors import probe_error
from edge_agent.probes.tcp_info import tcp_info


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


async def connect_tcp(
    opened: socket.socket, endpoint: Endpoint, port: int, within_s: float | None = None
) -> tuple[int, int]:
    """Connect; returns the error code (0 for connected, ECONNREFUSED for refused) and the time taken, ns.

    The code is ETIMEDOUT for what has not ended in time.

    The time is the kernel's own between its SYN and the answer, which does not wait until this process is
    run again; the process's where there is none, as after a SYN that was sent again. An error that comes at
    once is this machine's and raises ProbeError. A later one is the network's: a host that does not answer
    ARP, or a router's "unreachable".
    """
    started_ns = time.monotonic_ns()
    code = opened.connect_ex(endpoint.sockaddr(port))
    if code == errno.EINPROGRESS:
        code = await _outcome(opened, within_s)
    elif code not in (0, errno.ECONNREFUSED):
        raise probe_error(OSError(code, os.strerror(code)), f"connect to {endpoint.address}")
    took_ns = time.monotonic_ns() - started_ns
    return code, took_ns if code else min(took_ns, _handshake_ns(opened) or took_ns)


def _handshake_ns(opened: socket.socket) -> int | None:
    """The kernel's round trip of a handshake just finished; None when a segment was sent twice."""
    info = tcp_info(opened)
    return info.rtt_us * 1000 if info and not info.retransmitted else None


async def _outcome(opened: socket.socket, within_s: float | None) -> int:
    """The error code with which a pending connect ended, 0 for connected."""
    loop = asyncio.get_running_loop()
    writable = asyncio.Event()
    loop.add_writer(opened.fileno(), writable.set)
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await writable.wait()
    finally:
        loop.remove_writer(opened.fileno())
    # The socket has the last word: in a process that was kept busy, the time is up before the answer is seen.
    if not _has_ended(opened):
        return errno.ETIMEDOUT
    code = opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    # Only a connection that stood is reset or broken: a SYN that is answered by a reset was refused.
    return 0 if code in (errno.ECONNRESET, errno.EPIPE) else code


def _has_ended(opened: socket.socket) -> bool:
    poll = select.poll()
    poll.register(opened, select.POLLOUT)
    return bool(poll.poll(0))
