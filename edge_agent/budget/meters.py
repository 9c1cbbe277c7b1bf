"""By which metered interface packets leave: as the kernel routes them now, which it tells at once."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from contextlib import suppress

from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.on_path import Lookup
from edge_agent.probes.resolve import Endpoint
from edge_agent.probes.route import Question, Routes, RoutesUnknown
from edge_agent.profile import Profile

NOWHERE = ("192.0.2.1", "2001:db8::1")
"""Addresses of documentation (RFC 5737, RFC 3849), routed as everything is that has no route of its own."""


def interface_name(index: int) -> str:
    """The name of the kernel's interface of that number; "" when there is none."""
    with suppress(OSError):
        return socket.if_indextoname(index)
    return ""


def endpoint_of(peer: str) -> Endpoint | None:
    """A socket's peer or a target, its interface behind it when it is link-local; None for a name."""
    address, _, device = peer.partition("%")
    plain = address.lower().removeprefix("::ffff:") if "." in address else address
    family = socket.AF_INET6 if ":" in plain else socket.AF_INET
    with suppress(OSError, ValueError):
        ipaddress.ip_address(plain)
        return Endpoint(family, plain, socket.if_nametoindex(device) if device else 0)
    return None


class Meters:
    """Finds the meter of links and targets; asks the kernel, sends nothing."""

    def __init__(
        self,
        profile: Profile,
        routes: Lookup | None = None,
        name: Callable[[int], str] = interface_name,
    ) -> None:
        self._profile = profile
        self._routes = routes or Routes()
        self._name = name

    def of_link(self, link: ProbedLink, endpoint: Endpoint | None) -> str:
        """The metered interface that a link's packets pass; "" where they are free.

        ``endpoint`` is the target's address as far as it is known.
        """
        is_metered = link.id in self._profile.metered_links
        if link.device:
            found = self._profile.declared_of(link.device)
            return found or (link.device if is_metered else "")
        device = self._device(endpoint, link)
        return (self._profile.declared_of(device) or device) if is_metered else self._profile.meter_of(device)

    def of_target(self, endpoint: Endpoint | None) -> str | None:
        """The metered interface on the way to an address, "" where bytes are free; None without any way."""
        device = self._device(endpoint, ProbedLink("target"))
        return self._meter_of(device) if device else None

    def of_way(self, way: int | str) -> str:
        """The metered interface of that number, or on the way to that address; "" where bytes are free."""
        if isinstance(way, int):
            return self._meter_of(self._name(way))
        return self.of_target(endpoint_of(way)) or ""

    def _meter_of(self, device: str) -> str:
        """The meter of a device: as it is known, or because metered links leave by it that name none."""
        found = self._profile.meter_of(device)
        if found or device in ("", "lo", *self._profile.open_devices):
            return found
        ways = (self._device(endpoint_of(link.target), link) for link in self._profile.unbound)
        return device if device in ways else ""

    def _device(self, endpoint: Endpoint | None, link: ProbedLink) -> str:
        addresses = (endpoint.address,) if endpoint else NOWHERE
        for address in addresses:
            with suppress(OSError, ValueError, RoutesUnknown):
                scope = endpoint.scope if endpoint else 0
                route = self._routes.ask(Question(address, scope, link.source, link.mark))
                return self._name(route.interface_index)
        return ""

    def close(self) -> None:
        """Release the way to ask."""
        self._routes.close()
