"""The path of a link: the routers that a flow to the target passes, as a Paris traceroute finds them."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address

from edge_agent.contract import KINDS, Flag, Outcome, row
from edge_agent.discovery.messages import MAX_HOPS, Hop, PathRequest, read_hops
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.discovery_child import ask, understood
from edge_agent.probes.discovery_sockets import path_sockets
from edge_agent.probes.probe import (
    ICMP_HEADER,
    UDP_HEADER,
    Cadence,
    Measurement,
    ProbeError,
    require_between,
)
from edge_agent.probes.resolve import Resolver

RESOLVE_WITHIN = 0.25
"""The part of its timeout that a round may spend on a name."""
START_S = 5.0
"""What is kept for the start of the child, which takes that long on the smallest gateways."""
FIRST_PORT = 61_000
LONGEST_QUOTE = 140
"""What a router that describes itself makes of a short packet (RFC 4884: 128 bytes and extensions)."""
MARK_BYTES = 4

Ask = Callable[[str, PathRequest, Sequence[int]], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class PathSettings(Cadence):
    """How the path to a link's target is looked for."""

    period_s: float = 600
    timeout_s: float = 60
    """Of the whole round; a trace waits for the one before it to end, so that one child runs at a time."""
    hops: int = 30
    """The farthest distance that is tried."""
    attempts: int = 3
    """Probes to each distance."""
    port: int = 33_434
    """UDP port of the probes, at which nothing should listen."""
    spacing_ms: float = 20
    """Between two probes: routers limit how many errors they send."""
    wait_ms: float = 1_000
    """For answers, after the last probe."""

    def __post_init__(self) -> None:
        section = "probe.path"
        self.check_cadence(section)
        require_between(section, "hops", self.hops, 1, MAX_HOPS)
        require_between(section, "attempts", self.attempts, 1, 10)
        require_between(section, "port", self.port, 1, 65_535)
        require_between(section, "spacing_ms", self.spacing_ms, 1, 1_000)
        require_between(section, "wait_ms", self.wait_ms, 10, 10_000)
        longest_s = (self.hops * self.attempts * self.spacing_ms + 2 * self.wait_ms) / 1000
        if longest_s + START_S > self.timeout_s:
            raise ValueError(
                f"{section}: {self.hops} hops, {self.attempts} attempts and wait_ms can take "
                f"{longest_s:.3g} s, and the start {START_S:g} s, which do not fit timeout_s"
            )

    def round_bytes(self, ip_header: int) -> int:
        """Every probe to every distance, and an ICMP error for each with all that routers quote of it."""
        probe = ip_header + UDP_HEADER + MARK_BYTES
        error = ip_header + ICMP_HEADER + max(probe, LONGEST_QUOTE)
        return self.hops * self.attempts * (probe + error)


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
