"""By which metered interface packets leave: as the kernel routes them now, which it tells at once."""

from __future__ import annotations

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
        return self._profile.meter_of(device) if device else None

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
