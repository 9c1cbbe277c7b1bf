"""The path of a link: the routers that a flow to the target passes, as a Paris traceroute finds them."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, ip_address

from edge_agent.contract import KINDS, Flag, Outcome, row
from edge_agent.discovery.messages import Hop, PathRequest, read_hops
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.discovery_child import ask, understood
from edge_agent.probes.discovery_sockets import path_sockets
from edge_agent.probes.path_settings import PathSettings
from edge_agent.probes.probe import (
    Measurement,
    ProbeError,
)
from edge_agent.probes.resolve import Resolver

RESOLVE_WITHIN = 0.25
"""The part of its timeout that a round may spend on a name."""
FIRST_PORT = 61_000

Ask = Callable[[str, PathRequest, Sequence[int]], Awaitable[bytes]]


class PathProbe:
    """Traces the path of a link; one measurement for each hop, with a null address where nobody answered."""

    kind = "path"

    def __init__(self, settings: PathSettings, resolver: Resolver | None = None, child: Ask = ask) -> None:
        self._settings = settings
        self._resolver = resolver or Resolver()
        self._child = child
        self._turn = asyncio.Semaphore(1)
        self._before: dict[str, list[Hop]] = {}

    async def __call__(self, link: ProbedLink) -> Sequence[Measurement]:
        """One trace; raises ProbeError when none could be made."""
        within_s = self._settings.timeout_s * RESOLVE_WITHIN
        endpoint = await self._resolver.resolve(link.target, link.device, within_s)
        async with self._turn:
            with path_sockets(endpoint, self._settings.port, link) as sockets:
                handles = sockets.sending.fileno(), sockets.receiving.fileno()
                flow = sockets.source, endpoint.address, endpoint.scope, source_port(link.id)
                said = await self._child("path", self._request(flow, handles), handles)
        hops = understood(said, read_hops)
        if not hops:
            raise ProbeError(Outcome.FAILED, "the discovery child found nothing and said nothing of it")
        before = self._before.get(link.id)
        self._before[link.id] = hops
        return rows(hops, before)

    def _request(self, flow: tuple[str, str, int, int], handles: tuple[int, int]) -> PathRequest:
        given = self._settings
        spacing_s, wait_s = given.spacing_ms / 1000, given.wait_ms / 1000
        return PathRequest(*flow, given.port, given.hops, given.attempts, spacing_s, wait_s, *handles)

    def close(self) -> None:
        """Nothing is held between rounds."""


def source_port(link_id: str) -> int:
    """The port that the probes of a link come from: the same in every round, and so is the way taken.

    Another one in each round would be another flow, and each turn of a load balancer look like a change
    of the path. Of the ports that Linux gives to nobody by itself (ip_local_port_range, ip(7)).
    """
    return FIRST_PORT + zlib.crc32(link_id.encode()) % (65_536 - FIRST_PORT)


def rows(hops: Sequence[Hop], before: Sequence[Hop] | None) -> list[Measurement]:
    """The measurements of a trace, beside that of the round before."""
    distance = next((hop.hop for hop in hops if hop.reached), None)
    changed = None if before is None else int(differs(before, hops))
    flags = Flag.KERNEL_RECEIVED | (Flag.PATH_CHANGED if changed else Flag.NONE)
    return [
        Measurement(
            "path",
            row(
                "path",
                hop=hop.hop,
                hops=distance,
                sent=hop.sent,
                answered=hop.answered,
                rtt_min_us=hop.rtt_us,
                changed=changed,
                **halves(hop.address),
            ),
            flags,
        )
        for hop in hops
    ]


def differs(before: Sequence[Hop], now: Sequence[Hop]) -> bool:
    """Whether two traces cannot be of one path: a router that stays silent in one of them proves nothing."""
    ends = [next((hop.hop for hop in hops if hop.reached), None) for hops in (before, now)]
    if None not in ends and ends[0] != ends[1]:
        return True
    old, new = _at_each(before), _at_each(now)
    return any(old[number].isdisjoint(new[number]) for number in old.keys() & new.keys())


def _at_each(hops: Sequence[Hop]) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for hop in hops:
        if hop.address:
            found.setdefault(hop.hop, set()).add(hop.address)
    return found


_HALF_MAXIMUM = next(column.maximum for column in KINDS["path"].columns if column.name == "address_low")


def halves(address: str) -> dict[str, int | None]:
    """An address as the contract's two columns; an IPv4 one is mapped (RFC 4291 section 2.5.5.2).

    Half an address of ones alone, which the columns cannot hold beside their null, is not told.
    """
    if not address:
        return {}
    given = ip_address(address)
    number = int(given) | (0xFFFF << 32 if isinstance(given, IPv4Address) else 0)
    high, low = number >> 64, number & 0xFFFF_FFFF_FFFF_FFFF
    return {"address_high": high, "address_low": low} if max(high, low) <= _HALF_MAXIMUM else {}
