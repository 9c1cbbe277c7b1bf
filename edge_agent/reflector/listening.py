"""The sockets that a reflector listens on, and what to do when they cannot be had."""

from __future__ import annotations

import errno
import socket

from edge_agent.contract import Outcome
from edge_agent.probes.probe import ProbeError
from edge_agent.probes.socket_errors import probe_error

FIRST_FREE_PORT = 1024
_SO_RCVBUFFORCE = 33
_RECEIVE_BUFFER = 2 << 20
"""Many links begin a round at once: a packet dropped here would look like a loss of the link."""


def listen_udp(address: str, port: int, service: str) -> socket.socket:
    """A non-blocking UDP socket on an address; "::" is IPv4's addresses too. Raises ProbeError."""
    opened = _open(address, socket.SOCK_DGRAM)
    try:
        opened.setblocking(False)
        _make_room(opened)
        opened.bind((address if opened.family == socket.AF_INET6 else _plain(address), port))
    except OSError as exc:
        opened.close()
        raise listening_error(exc, f"{service}: UDP port {port} of {named(address)}", port) from exc
    return opened


def listening_error(exc: OSError, place: str, port: int) -> ProbeError:
    """Why a reflector cannot listen there, and what to do about it."""
    if exc.errno in (errno.EACCES, errno.EPERM) and 0 < port < FIRST_FREE_PORT:
        advice = f"ports below {FIRST_FREE_PORT} need root or CAP_NET_BIND_SERVICE; or choose another port"
        return ProbeError(Outcome.DENIED, f"cannot listen for {place}: {advice}")
    if exc.errno == errno.EADDRINUSE:
        advice = "another program uses it: end that, or choose another port"
        return ProbeError(Outcome.FAILED, f"cannot listen for {place}: {advice}")
    return probe_error(exc, f"listen for {place}")


def named(address: str) -> str:
    """An address to listen on, in words where it stands for all."""
    return "all addresses" if address == "::" else address


def _open(address: str, kind: socket.SocketKind) -> socket.socket:
    """A socket of the address's family; of IPv4 for "::" where the kernel has no IPv6."""
    try:
        if ":" not in address:
            return socket.socket(socket.AF_INET, kind)
        try:
            opened = socket.socket(socket.AF_INET6, kind)
        except OSError as exc:
            if address != "::" or exc.errno != errno.EAFNOSUPPORT:
                raise
            return socket.socket(socket.AF_INET, kind)
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address != "::")
    except OSError as exc:
        raise probe_error(exc, "open a socket to listen") from exc
    return opened


def _make_room(opened: socket.socket) -> None:
    try:
        opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
    except OSError:  # without CAP_NET_ADMIN, net.core.rmem_max is the limit
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)


def _plain(address: str) -> str:
    return "0.0.0.0" if address == "::" else address
