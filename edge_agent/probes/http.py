"""HTTP time to first byte, and the phases that it is made of, as a client of the service sees it."""

from __future__ import annotations

import asyncio
import errno
import re
import socket
import ssl
import time
from dataclasses import dataclass
from itertools import count

from edge_agent.contract import Outcome
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.http_exchange import Exchange, exchange, request, tls_context
from edge_agent.probes.probe import (
    SYN_HEADER,
    TCP_HEADER,
    Cadence,
    Measurement,
    ProbeError,
    require_between,
)
from edge_agent.probes.resolve import REMEMBERED_S, Endpoint, Lookup, Resolver, ask_system
from edge_agent.probes.tcp import connect_tcp, open_tcp

REPORT_AT = 0.9
"""The part of its timeout after which a round reports what it has, so that it does not overrun."""
RESOLVE_WITHIN = 0.5
LATE_BY = 0.02
"""The part of its timeout by which its end is seen late when this machine was too busy to see an answer."""
RECEIVE_BUFFER = 8192
"""Keeps a server from sending much of a page, which is not read, over a link that may be metered."""
HANDSHAKE_BYTES, REQUEST_BYTES = 8_000, 400
"""TLS in both directions; a request and its host's name, without the path."""
_PATH = re.compile(r"/[!-~]*")
_HOST = re.compile(r"([A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?|[0-9A-Fa-f:.]{2,45}|")


@dataclass(frozen=True, slots=True)
class HttpSettings(Cadence):
    """What is asked of the link's target; redirects are not followed."""

    period_s: float = 60
    timeout_s: float = 10
    """Of the whole round."""
    port: int = 443
    path: str = "/"
    tls: bool = True
    verify: bool = True
    """Refuse a certificate that the system does not trust, or of another host."""
    host: str = ""
    """The name to ask for and to find in the certificate, where it is not the link's target."""

    def __post_init__(self) -> None:
        section = "probe.http"
        self.check_cadence(section)
        require_between(section, "port", self.port, 1, 65_535)
        if len(self.path) > 1024 or not _PATH.fullmatch(self.path):
            raise ValueError(f"{section}: path is {self.path!r}, not /... of printable ASCII without spaces")
        if len(self.host) > 253 or not _HOST.fullmatch(self.host):
            raise ValueError(f"{section}: host is {self.host!r}, not a host name")

    def round_bytes(self, ip_header: int) -> int:
        """A chain of certificates, the request, and as much of the page as two turns of the buffer hold."""
        syns = int(self.timeout_s + 1).bit_length()
        segments = 24 * (ip_header + TCP_HEADER)
        received = 4 * RECEIVE_BUFFER + (HANDSHAKE_BYTES if self.tls else 0)
        return 2 * syns * (ip_header + SYN_HEADER) + segments + received + len(self.path) + REQUEST_BYTES


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
