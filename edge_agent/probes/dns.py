"""DNS lookup time: how long a name server behind the link takes to answer (RFC 1035)."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field

from edge_agent.contract import Outcome
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.dns_lookup import Lookup, summary
from edge_agent.probes.dns_message import Query, question
from edge_agent.probes.dns_settings import SPACING_S, DnsSettings
from edge_agent.probes.probe import Measurement, ProbeError
from edge_agent.probes.resolve import Endpoint, Resolver
from edge_agent.probes.socket_errors import probe_error
from edge_agent.probes.stamped_udp import moment, open_udp, received

REPORT_AT = 0.9
"""The part of its timeout after which a round reports what it has, so that it does not overrun."""
RESOLVE_WITHIN = 0.5
ANSWER_WITHIN = 0.1
"""The part of its timeout that an answer has at least; with less to go, nothing more is asked."""
WARM_UP_S = 0.05
"""The kernel begins to stamp what it receives a moment after it has been asked to (a work queue's)."""


@dataclass(slots=True)
class Round:
    """The queries that are out on one socket."""

    socket: socket.socket
    lookups: list[Lookup] = field(default_factory=list)
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    sending: bool = True

    def drain(self) -> None:
        """Give what waits to the queries."""
        with suppress(ConnectionRefusedError):  # a query before has no answer
            for datagram in received(self.socket):
                for each in self.lookups:
                    each.received(datagram.data, datagram.at)
        self.settle()

    def settle(self) -> None:
        """Tell when nothing more is to come."""
        if not self.sending and all(each.took_ns is not None for each in self.lookups):
            self.settled.set()


class DnsProbe:
    """Asks the link's target, as a name server, the same question a few times a round."""

    kind = "dns"

    def __init__(
        self, settings: DnsSettings, rng: random.Random | None = None, resolver: Resolver | None = None
    ) -> None:
        self._settings = settings
        self._question = question(settings.name, settings.record)
        self._rng = rng or random.SystemRandom()
        self._resolver = resolver or Resolver()

    async def __call__(self, link: ProbedLink) -> Measurement:
        """One round; raises ProbeError when no query could be sent."""
        timeout_s = self._settings.timeout_s
        until = time.monotonic() + timeout_s * REPORT_AT
        endpoint = await self._resolver.resolve(link.target, link.device, timeout_s * RESOLVE_WITHIN)
        loop = asyncio.get_running_loop()
        with open_udp(link, endpoint, self._settings.port, sent=False) as opened:
            current = Round(opened)
            loop.add_reader(opened.fileno(), current.drain)
            try:
                await self._ask(current, endpoint, until)
            finally:
                loop.remove_reader(opened.fileno())
            current.drain()
        return summary(current.lookups)

    async def _ask(self, current: Round, endpoint: Endpoint, until: float) -> None:
        """Send the round's queries and wait for their answers; raises ProbeError when none could be sent."""
        refused: OSError | None = None
        await asyncio.sleep(WARM_UP_S)
        for identifier in self._rng.sample(range(1 << 16), self._settings.count):
            if until - time.monotonic() < self._settings.timeout_s * ANSWER_WITHIN:
                break
            refused = send(current, Query(identifier, self._question)) or refused
            await asyncio.sleep(SPACING_S)
        if refused and not current.lookups:
            raise probe_error(refused, f"send to {endpoint.address}") from refused
        if not current.lookups:
            raise ProbeError(
                Outcome.OVERRUN, "the look-up of the server or a busy machine left no time to ask"
            )
        current.sending = False
        current.settle()
        try:
            async with asyncio.timeout(max(until - time.monotonic(), 0)):
                await current.settled.wait()
        except TimeoutError:
            return  # what is missing was not answered

    def close(self) -> None:
        """Nothing is held between rounds."""


def send(current: Round, query: Query) -> OSError | None:
    """Send one query; an error of this machine is returned, and then nothing was sent."""
    lookup = Lookup(query, moment())
    try:
        try:
            current.socket.send(query.message)
        except ConnectionRefusedError:  # tells of the query before; this one has not been sent
            current.socket.send(query.message)
    except OSError as exc:
        return exc
    current.lookups.append(lookup)
    return None
