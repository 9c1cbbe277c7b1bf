"""Who is on the other side of a link's interface: ARP, neighbour discovery and LLDP, heard and asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address

from edge_agent.contract import Outcome, row
from edge_agent.discovery.messages import PROTOCOLS, Neighbour, NeighbourRequest, read_neighbours
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.discovery_child import ask, understood
from edge_agent.probes.discovery_sockets import NeighbourSockets, neighbour_sockets
from edge_agent.probes.neighbour_settings import NeighbourSettings
from edge_agent.probes.path import halves
from edge_agent.probes.probe import Measurement, ProbeError
from edge_agent.probes.route import Question, Routes, RoutesUnknown
from edge_agent.probes.socket_errors import interface_index

CHILDREN = 2
"""Looks around that run at a time."""

Ask = Callable[[str, NeighbourRequest, Sequence[int]], Awaitable[bytes]]


class NeighbourProbe:
    """Looks around the interface of a link; one measurement for each neighbour, or one that says "nobody"."""

    kind = "neighbour"

    def __init__(self, settings: NeighbourSettings, child: Ask = ask) -> None:
        self._settings = settings
        self._child = child
        self._routes = Routes()
        self._turn = asyncio.Semaphore(CHILDREN)

    async def __call__(self, link: ProbedLink) -> Sequence[Measurement]:
        """One look around; raises ProbeError when this machine cannot."""
        if not link.interface:
            raise ProbeError(Outcome.NO_INTERFACE, f"link {link.id} names no interface")
        async with self._turn:
            with neighbour_sockets(link) as sockets:
                request = self._request(link, sockets)
                handles = [each for each in (request.arp, request.lldp, request.icmp) if each >= 0]
                said = await self._child("neighbours", request, handles)
        interface_index(link.device)  # it may be gone by now, which is what the child then stumbled over
        return rows(understood(said, read_neighbours))

    def _request(self, link: ProbedLink, sockets: NeighbourSockets) -> NeighbourRequest:
        given = self._settings
        asked, source = question(link, self._routes)
        handles = sockets.arp.fileno(), sockets.lldp.fileno(), sockets.icmp.fileno() if sockets.icmp else -1
        # A solicitation needs an address to answer to; an ARP probe does not.
        whom = (asked,) if asked and (source or ":" not in asked) else ()
        return NeighbourRequest(link.device, given.listen_s, whom, source, given.max_age_s, *handles)

    def close(self) -> None:
        """Close the socket that asks for routes."""
        self._routes.close()


def question(link: ProbedLink, routes: Routes) -> tuple[str, str]:
    """Whom to ask for, and from which address: the next hop of the link, or that of its target's route.

    Both are empty when neither is an address, or nothing leads there; the second also without one.
    """
    wanted = (link.next_hop or link.target).partition("%")[0]
    try:
        ip_address(wanted)
        route = routes.ask(Question(wanted, interface_index(link.device), link.source, link.mark))
    except (OSError, ValueError, RoutesUnknown):
        return "", ""
    return link.next_hop.partition("%")[0] or route.gateway or wanted, route.source


def rows(neighbours: Sequence[Neighbour]) -> list[Measurement]:
    """A measurement for each neighbour; a single one of nulls when nobody was heard."""
    if not neighbours:
        return [Measurement("neighbour", row("neighbour"))]
    return [Measurement("neighbour", _row(each)) for each in neighbours]


def _row(neighbour: Neighbour) -> tuple[int | None, ...]:
    return row(
        "neighbour",
        protocol=PROTOCOLS[neighbour.protocol],
        mac=int(neighbour.mac.replace(":", ""), 16) if neighbour.mac else None,
        ttl_s=None if neighbour.ttl_s is None else min(neighbour.ttl_s, 0xFFFE),
        **halves(neighbour.address),
        **pieces("port", neighbour.port, 4),
        **pieces("name", neighbour.name, 4),
    )


def pieces(column: str, text: str, count: int) -> dict[str, int | None]:
    """A text as the contract's columns: ASCII, cut to fit, 8 characters a column; no columns for no text."""
    if not text:
        return {}
    plain = "".join(each if " " <= each <= "~" else "?" for each in text)[: 8 * count]
    raw = plain.encode().ljust(8 * count, b"\0")
    return {
        f"{column}_{piece + 1}": int.from_bytes(raw[8 * piece : 8 * piece + 8], "big")
        for piece in range(count)
    }
