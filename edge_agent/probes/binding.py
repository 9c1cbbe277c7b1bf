"""How a probe is kept on its link: the interface or VLAN, the source address and the routing mark."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass

from edge_agent.contract import Link, Outcome
from edge_agent.probes.probe import ProbeError
from edge_agent.probes.socket_errors import bind_to_interface, probe_error

_SO_MARK = getattr(socket, "SO_MARK", 36)


@dataclass(frozen=True, slots=True)
class ProbedLink(Link):
    """A link as this machine reaches it: the contract's definition, and what routing rules select by."""

    source: str = ""
    """Address that packets are sent from, for `ip rule add from SOURCE`; needs no privilege."""
    mark: int = 0
    """Routing mark, for `ip rule add fwmark MARK`; needs CAP_NET_RAW (Linux 5.17) or CAP_NET_ADMIN."""

    @property
    def device(self) -> str:
        """The interface that carries the link: the VLAN's own (eth0.100) where there is a VLAN."""
        if self.interface and self.vlan:
            return f"{self.interface}.{self.vlan}"
        return self.interface


def bind(opened: socket.socket, link: ProbedLink) -> None:
    """Keep what a socket sends on the link; raises ProbeError when this machine refuses."""
    if link.device:
        bind_to_interface(opened, link.device)
    if link.mark:
        _mark(opened, link.mark)
    if link.source:
        _send_from(opened, link.source)


def _send_from(opened: socket.socket, source: str) -> None:
    try:
        opened.bind((source, 0))
    except socket.gaierror as exc:
        family = "IPv6" if opened.family == socket.AF_INET6 else "IPv4"
        message = f"cannot send from {source}: the target's address is of {family}, or that is no address"
        raise ProbeError(Outcome.UNREACHABLE, message) from exc
    except OSError as exc:
        if exc.errno == errno.EADDRNOTAVAIL:
            message = f"cannot send from {source}: no interface of this machine has that address"
            raise ProbeError(Outcome.UNREACHABLE, message) from exc
        raise probe_error(exc, f"send from {source}") from exc


def _mark(opened: socket.socket, mark: int) -> None:
    try:
        opened.setsockopt(socket.SOL_SOCKET, _SO_MARK, mark)
    except OSError as exc:
        if exc.errno == errno.EPERM:
            message = (
                f"cannot set the routing mark {mark}: that needs CAP_NET_RAW (Linux 5.17) or CAP_NET_ADMIN"
            )
            raise ProbeError(Outcome.DENIED, message) from exc
        raise probe_error(exc, f"set the routing mark {mark}") from exc
