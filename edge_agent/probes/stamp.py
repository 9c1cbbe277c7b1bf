"""STAMP: round trip, and loss and delay of each direction, with a reflector at the far end (RFC 8762)."""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace as changed

from edge_agent.clock import SystemClock
from edge_agent.contract import Flag, Outcome
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.probe import Measurement, ProbeError
from edge_agent.probes.resolve import Resolver
from edge_agent.probes.shared_key import read_key
from edge_agent.probes.stamp_exchange import Exchange
from edge_agent.probes.stamp_packet import padding
from edge_agent.probes.stamp_session import Session, Tally
from edge_agent.probes.stamp_settings import CLOSING, StampSettings
from edge_agent.probes.stamp_statistics import report
from edge_agent.probes.stamped_udp import open_udp

REPORT_BY = 0.9
"""The part of its timeout after which a round reports what it has, so that it does not overrun."""
RESOLVE_WITHIN = 0.4
WARM_UP_S = 0.05
"""The kernel begins to stamp what it receives a moment after it has been asked to (a work queue's)."""
MOST_KEPT = 256
"""Sockets kept between rounds, for replies that are late; beyond, late replies are not counted."""


class StampProbe:
    """Measures each link in sessions of one round; the socket of the last one is kept for late replies."""

    kind = "stamp"

    def __init__(
        self,
        settings: StampSettings,
        rng: random.Random | None = None,
        resolver: Resolver | None = None,
        clock_error_ns: Callable[[], int | None] | None = None,
    ) -> None:
        self._settings = settings
        self._rng = rng or random.SystemRandom()
        self._resolver = resolver or Resolver()
        self._clock_error_ns = clock_error_ns or SystemClock().error_ns
        self._kept: OrderedDict[str, Exchange] = OrderedDict()
        self._hops: dict[str, tuple[int | None, int]] = {}
        """By link, the TTLs that were left at both ends in the round before."""

    async def __call__(self, link: ProbedLink) -> Measurement:
        """One round; raises ProbeError when nothing could be sent, or no reflector is there."""
        timeout_s = self._settings.timeout_s
        by = time.monotonic() + timeout_s * REPORT_BY
        endpoint = await self._resolver.resolve(link.target, link.device, timeout_s * RESOLVE_WITHIN)
        earlier = self._late(link.id)
        session = self._session()
        exchange = Exchange(open_udp(link, endpoint, self._settings.port, sent=True), session)
        exchange.watch()
        try:
            await self._measure(exchange, by)
            exchange.rest()
        except BaseException:
            exchange.rest()
            exchange.close()
            raise
        self._keep(link.id, exchange)
        return self._report(link, exchange, earlier)

    def _session(self) -> Session:
        settings = self._settings
        key = read_key(settings.key_file) if settings.key_file else None
        tlvs = padding(settings.padding) if settings.padding else b""
        return Session(self._rng.randrange(1, 1 << 16), key, self._clock_error_ns(), tlvs)

    async def _measure(self, exchange: Exchange, by: float) -> None:
        """Send the packets, wait, and after a loss ask how many arrived."""
        settings, session = self._settings, exchange.session
        await asyncio.sleep(WARM_UP_S)
        await self._send(exchange)
        last = session.samples[-1].sent.monotonic_ns / 1e9
        await exchange.wait(min(by, last + settings.wait_s))
        for turn in range(CLOSING, 0, -1):
            left = by - time.monotonic()
            if exchange.is_settled or exchange.is_refused or left <= 0:
                return
            exchange.send(measures=False)
            await exchange.wait(time.monotonic() + left / turn)

    async def _send(self, exchange: Exchange) -> None:
        """Send the packets, evenly spaced; raises ProbeError when not one could be sent."""
        loop = asyncio.get_running_loop()
        first, failed = loop.time(), None
        for turn in range(self._settings.count):
            await asyncio.sleep(first + turn * self._settings.spacing_ms / 1000 - loop.time())
            try:
                exchange.send()
            except ProbeError as error:
                failed = error
        if failed and not exchange.session.samples:
            raise failed

    def _report(self, link: ProbedLink, exchange: Exchange, earlier: Tally) -> Measurement:
        settings, session = self._settings, exchange.session
        if exchange.is_refused:
            found = f"{link.target} has nothing on UDP port {settings.port}"
            raise ProbeError(Outcome.UNREACHABLE, f"{found}: is 'edge-agent reflect' running there?")
        wait_ns = int(settings.wait_s * 1e9)
        made = report(session, wait_ns, time.monotonic_ns(), earlier, settings.stateful)
        replies = [sample.reply for sample in session.samples if sample.reply]
        if not replies:
            return made
        hops = replies[-1].ttl, replies[-1].sender_ttl
        former, self._hops[link.id] = self._hops.get(link.id, hops), hops
        return made if former == hops else changed(made, flags=made.flags | Flag.PATH_CHANGED)

    def _late(self, link: str) -> Tally:
        """What came for the link's last round after its report."""
        exchange = self._kept.pop(link, None)
        if exchange is None:
            return Tally()
        exchange.drain()
        exchange.close()
        return exchange.session.tally

    def _keep(self, link: str, exchange: Exchange) -> None:
        self._kept[link] = exchange
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)[1].close()

    def close(self) -> None:
        """Close every socket."""
        for exchange in self._kept.values():
            exchange.close()
        self._kept.clear()
