"""What the errors of a probe's own socket mean: why it could not measure, and what to do about it."""

from __future__ import annotations

import errno
import socket

from edge_agent.contract import Outcome
from edge_agent.probes.probe import ProbeError

SO_BINDTODEVICE = getattr(socket, "SO_BINDTODEVICE", 25)

_OUTCOMES = {
    errno.ENODEV: Outcome.NO_INTERFACE,
    errno.ENXIO: Outcome.NO_INTERFACE,
    errno.EACCES: Outcome.DENIED,
    errno.EPERM: Outcome.DENIED,
    errno.ENETUNREACH: Outcome.UNREACHABLE,
    errno.EHOSTUNREACH: Outcome.UNREACHABLE,
    errno.ENETDOWN: Outcome.UNREACHABLE,
    errno.EADDRNOTAVAIL: Outcome.UNREACHABLE,
    errno.EAFNOSUPPORT: Outcome.UNREACHABLE,
}


def probe_error(exc: OSError, doing: str) -> ProbeError:
    """The error of a socket call that concerns this machine, not the link."""
    outcome = _OUTCOMES.get(exc.errno or 0, Outcome.FAILED)
    return ProbeError(outcome, f"cannot {doing}: {exc.strerror or exc}")


def interface_index(interface: str) -> int:
    """The kernel's index of the interface, which a new one of the same name does not share."""
    try:
        return socket.if_nametoindex(interface)
    except OSError as exc:
        message = f"there is no interface {interface!r} on this machine"
        raise ProbeError(Outcome.NO_INTERFACE, message) from exc


def bind_to_interface(opened: socket.socket, interface: str) -> None:
    """Let the socket send and receive on this interface alone (SO_BINDTODEVICE, socket(7))."""
    try:
        opened.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, interface.encode() + b"\0")
    except PermissionError as exc:
        message = f"cannot bind to {interface}: before Linux 5.7 that needs CAP_NET_RAW"
        raise ProbeError(Outcome.DENIED, message) from exc
    except OSError as exc:
        raise probe_error(exc, f"bind to {interface}") from exc
