"""Keeps a probe on its path: no round off the link's next hop, and none across a change unmarked."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from edge_agent.contract import Flag, Outcome
from edge_agent.probes.binding import ProbedLink, bind
from edge_agent.probes.probe import Measurement, Probe, ProbeError
from edge_agent.probes.resolve import Endpoint, Resolver
from edge_agent.probes.route import Question, Route, Routes, RoutesUnknown
from edge_agent.probes.socket_errors import interface_index, probe_error

RESOLVE_WITHIN = 0.4
"""The part of the timeout that a look-up may take here; then the probe looks up the target again."""
_TABLE = 100
"""A routing table that distributions leave free, for the advice."""


class Lookup(Protocol):
    """What knows routes."""

    def ask(self, question: Question) -> Route:
        """The route; raises OSError or ValueError when there is none."""
        ...

    def close(self) -> None:
        """Release what it holds."""
        ...


class OnPath:
    """A probe whose rounds are compared with the kernel's routing, before and after each.

    A route that differs from that of the round before, or at the end from the beginning, is flagged; a next
    hop that is not the link's ends the round as OFF_PATH. A path that changes and changes back within a
    round, or beyond the next hop, is not seen here.
    """

    def __init__(
        self,
        probe: Probe,
        timeout_s: float,
        resolver: Resolver | None = None,
        routes: Lookup | None = None,
    ) -> None:
        self.kind = probe.kind
        self._probe = probe
        self._resolve_s = timeout_s * RESOLVE_WITHIN
        self._resolver = resolver or Resolver()
        self._routes = routes or Routes()
        self._taken: dict[str, Route] = {}
        """By link, the route at the end of the last round that measured."""

    async def __call__(self, link: ProbedLink) -> Measurement | Sequence[Measurement]:
        """One round; raises ProbeError when routing does not take the link's next hop."""
        if not link.target:
            return await self._probe(link)
        endpoint = await self._resolver.resolve(link.target, link.device, self._resolve_s)
        before = self._route(endpoint, link)
        measured = await self._probe(link)
        after = self._route(endpoint, link)
        former = self._taken.get(link.id, before)
        self._taken[link.id] = after
        return measured if former == before == after else _flagged(measured)

    def _route(self, endpoint: Endpoint, link: ProbedLink) -> Route:
        index = interface_index(link.device) if link.device else endpoint.scope
        try:
            route = self._routes.ask(Question(endpoint.address, index, link.source, link.mark))
        except RoutesUnknown as exc:
            if link.next_hop:
                raise ProbeError(Outcome.DENIED, f"{exc}: the link's next hop cannot be checked") from exc
            return Route(index)
        except OSError as exc:
            with socket.socket(endpoint.family, socket.SOCK_DGRAM) as opened:
                bind(opened, link)  # where it is the link's source or interface, this says so
            raise probe_error(exc, f"find a route to {link.target}") from exc
        except ValueError as exc:
            raise ProbeError(Outcome.FAILED, f"cannot find a route to {link.target}: {exc}") from exc
        if link.next_hop and _address(link.next_hop) != _address(route.gateway or endpoint.address):
            raise ProbeError(Outcome.OFF_PATH, _off_path(endpoint, link, route))
        return route

    def close(self) -> None:
        """Release the probe and the way to ask."""
        self._probe.close()
        self._routes.close()


def _flagged(measured: Measurement | Sequence[Measurement]) -> list[Measurement]:
    every = [measured] if isinstance(measured, Measurement) else measured
    return [replace(each, flags=each.flags | Flag.PATH_CHANGED) for each in every]


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError as exc:
        raise ProbeError(Outcome.FAILED, f"the link's next_hop {text!r} is no IP address") from exc


def _off_path(endpoint: Endpoint, link: ProbedLink, route: Route) -> str:
    """What is wrong, and the commands that mend it."""
    name = _name(route.interface_index)
    actual = f"by {route.gateway} on {name}" if route.gateway else f"straight out of {name}"
    found = f"{link.target} is routed {actual}, not by the next hop of the link, {link.next_hop}"
    select = _selector(link)
    if not select:
        return f"{found}: set the link's interface, source or mark, so that an 'ip rule' can tell it apart"
    ip = "ip -6" if endpoint.family == socket.AF_INET6 else "ip"
    via = "" if _address(link.next_hop) == _address(endpoint.address) else f" via {link.next_hop}"
    way = f"{endpoint.address}{via} dev {link.device or 'INTERFACE'} table {_TABLE}"
    return f"{found}: try '{ip} rule add {select} table {_TABLE}' and '{ip} route add {way}'"


def _selector(link: ProbedLink) -> str:
    """What a rule knows the link's packets by."""
    if link.mark:
        return f"fwmark {link.mark}"
    if link.source:
        return f"from {link.source}"
    return f"oif {link.device}" if link.device else ""


def _name(index: int) -> str:
    with suppress(OSError):
        return socket.if_indextoname(index)
    return f"interface {index}"
