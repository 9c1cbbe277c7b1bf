"""HTTP time to first byte, and the phases that it is made of, as a client of the service sees it."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import time
from itertools import count

from edge_agent.contract import Outcome
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.http_exchange import Exchange, exchange, request, tls_context
from edge_agent.probes.http_settings import RECEIVE_BUFFER, HttpSettings
from edge_agent.probes.probe import (
    Measurement,
    ProbeError,
)
from edge_agent.probes.resolve import REMEMBERED_S, Endpoint, Lookup, Resolver, ask_system
from edge_agent.probes.tcp import connect_tcp, open_tcp

REPORT_AT = 0.9
"""The part of its timeout after which a round reports what it has, so that it does not overrun."""
RESOLVE_WITHIN = 0.5
LATE_BY = 0.02
"""The part of its timeout by which its end is seen late when this machine was too busy to see an answer."""


class HttpProbe:
    """Gets one page over a new connection each round, and reads no more than its status line."""

    kind = "http"

    def __init__(self, settings: HttpSettings, lookup: Lookup = ask_system) -> None:
        self._settings = settings
        # The look-up is part of what is measured. A clock that jumps lets the resolver remember nothing.
        self._resolver = Resolver(lookup, monotonic=count(step=2 * REMEMBERED_S).__next__)
        self._context: ssl.SSLContext | None = None

    async def __call__(self, link: ProbedLink) -> Measurement:
        """One request; raises ProbeError when it could not even be tried."""
        if self._settings.tls and self._context is None:
            # Once, and beside the event loop: it reads every certificate that is trusted.
            self._context = await asyncio.to_thread(tls_context, self._settings.verify)
        timeout_s = self._settings.timeout_s
        started_ns, done = time.monotonic_ns(), Exchange()
        until = time.monotonic() + timeout_s * REPORT_AT
        endpoint = await self._resolver.resolve(link.target, link.device, timeout_s * RESOLVE_WITHIN)
        if not _is_address(link.target):
            done.resolve_ns = time.monotonic_ns() - started_ns
        try:
            async with asyncio.timeout(max(until - time.monotonic(), 0)):
                await self._request(endpoint, link, done)
        except TimeoutError as exc:
            if time.monotonic() - until > timeout_s * LATE_BY:
                raise ProbeError(
                    Outcome.OVERRUN, "this machine was too busy to see an answer in time"
                ) from exc
            done.timed_out = True
        return done.measurement()

    async def _request(self, endpoint: Endpoint, link: ProbedLink, done: Exchange) -> None:
        settings = self._settings
        host = settings.host or link.target.partition("%")[0]
        opened = open_tcp(endpoint, link)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            code, took_ns = await connect_tcp(opened, endpoint, settings.port)
        except BaseException:
            opened.close()
            raise
        if code:
            opened.close()
            done.refused, done.timed_out = code == errno.ECONNREFUSED, code != errno.ECONNREFUSED
            return
        done.connect_ns = took_ns
        message = request(host, settings.port, settings.path, settings.tls)
        await exchange(opened, self._context, host, message, done)

    def close(self) -> None:
        """Nothing is held between rounds but what is trusted."""


def _is_address(target: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, target.partition("%")[0])
        except OSError:
            continue
        return True
    return False
