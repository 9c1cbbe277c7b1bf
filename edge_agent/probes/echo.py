"""ICMP echo: round-trip time, loss and delay variation of a link (RFC 2681, RFC 7680, RFC 3393)."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from dataclasses import dataclass

from edge_agent.contract import Link
from edge_agent.probes.echo_ledger import EchoRound, Ledger, Sample, Tally
from edge_agent.probes.echo_statistics import report
from edge_agent.probes.icmp_packet import echo_reply, echo_request, own_request
from edge_agent.probes.icmp_socket import IcmpSocket
from edge_agent.probes.probe import Cadence, Measurement, ProbeError, require_between
from edge_agent.probes.resolve import Endpoint, Resolver
from edge_agent.probes.socket_errors import interface_index

WAIT_UNTIL = 0.9
"""The part of a round's timeout at which its last request has waited long enough, if all went in time."""
REPORT_BY = 0.95
"""The part of its timeout after which a round that began late reports what it has, and does not overrun."""
RESOLVE_WITHIN = 0.5
FORGET_AFTER_NS = 60_000_000_000
"""How long a late reply is still told from a foreign one."""
WARM_UP_S = 0.05
"""The kernel begins to stamp what it receives a moment after it has been asked to (a work queue's)."""
DRAIN_EVERY = 32
"""Requests; when many links send at once, the socket's buffer must not overflow: it would look like loss."""


@dataclass(frozen=True, slots=True)
class EchoSettings(Cadence):
    """How a link is echoed; each request waits 0.9 x timeout_s - (count - 1) x spacing_ms for its reply."""

    period_s: float = 10
    timeout_s: float = 5
    """Of the whole round."""
    count: int = 5
    spacing_ms: int = 200
    size: int = 56
    """Bytes of ICMP payload."""

    def __post_init__(self) -> None:
        section = "probe.echo"
        self.check_cadence(section)
        require_between(section, "count", self.count, 1, 100)
        require_between(section, "spacing_ms", self.spacing_ms, 1, 10_000)
        require_between(section, "size", self.size, 18, 1452)
        if self.wait_s < self.timeout_s / 10:
            raise ValueError(
                f"{section}: {self.count} requests {self.spacing_ms} ms apart do not fit timeout_s"
            )

    @property
    def wait_s(self) -> float:
        """How long each request waits for its reply, s."""
        return WAIT_UNTIL * self.timeout_s - (self.count - 1) * self.spacing_ms / 1000


class Channel:
    """One socket and the requests that it waits for, for every target of a family on an interface."""

    def __init__(self, icmp: IcmpSocket, size: int, rng: random.Random) -> None:
        self._icmp = icmp
        self._size = size
        self._rng = rng
        self._ledger = Ledger(icmp.identifier)
        self._sequence = rng.getrandbits(16)
        self._loop = asyncio.get_running_loop()
        self._ready = self._loop.time() + WARM_UP_S
        self._loop.add_reader(icmp.fileno(), self.drain)

    @property
    def interface_index(self) -> int:
        """The interface that the socket is bound to, 0 for any."""
        return self._icmp.interface_index

    async def ready(self) -> None:
        """Wait until the kernel stamps both ways, or the first round would mix its stamps with ours."""
        await asyncio.sleep(max(self._ready - self._loop.time(), 0))

    def send(self, endpoint: Endpoint, echo_round: EchoRound) -> None:
        """Send one request of a round; raises ProbeError, and then none was sent."""
        self._sequence = (self._sequence + 1) & 0xFFFF
        payload = self._rng.randbytes(self._size)
        message = echo_request(endpoint.family, self._icmp.identifier, self._sequence, payload)
        sent = self._icmp.send(message, endpoint)
        self._ledger.sent(Sample(echo_round, endpoint, self._sequence, payload, sent))
        if self._sequence % DRAIN_EVERY == 0:
            self.drain()

    def drain(self) -> None:
        """Match all that waits: the kernel's stamps of what left first, then the replies."""
        for packet, kernel_ns in self._icmp.transmitted():
            request = own_request(packet, self._size)
            if request:
                self._ledger.transmitted(*request, kernel_ns)
        for message, source, stamp in self._icmp.received():
            reply = echo_reply(source.family, message)
            if reply:
                self._ledger.received(source, reply, stamp)

    def forget(self, now_ns: int) -> None:
        """Give up on what was sent too long ago."""
        self._ledger.forget(now_ns - FORGET_AFTER_NS)

    def close(self) -> None:
        """Close the socket."""
        if not self._loop.is_closed():
            self._loop.remove_reader(self._icmp.fileno())
        self._icmp.close()


class EchoProbe:
    """Echoes links over one socket for each family and interface, opened on first use."""

    kind = "echo"

    def __init__(
        self,
        settings: EchoSettings,
        rng: random.Random | None = None,
        resolver: Resolver | None = None,
        stamping: bool = True,
    ) -> None:
        self._settings = settings
        self._rng = rng or random.SystemRandom()
        self._resolver = resolver or Resolver()
        self._stamping = stamping
        self._channels: dict[tuple[socket.AddressFamily, str], Channel] = {}
        self._tallies: dict[str, Tally] = {}

    async def __call__(self, link: Link) -> Measurement:
        """Send one round of requests to the link's target and report it."""
        started = time.monotonic()
        timeout_s = self._settings.timeout_s
        endpoint = await self._resolver.resolve(link.target, link.interface, timeout_s * RESOLVE_WITHIN)
        channel = self._channel(endpoint.family, link.interface)
        await channel.ready()
        channel.forget(time.monotonic_ns())
        answered = asyncio.Event()
        tally = self._tallies.setdefault(link.id, Tally())
        echo_round = EchoRound(int(self._settings.wait_s * 1e9), tally, answered.set)
        await self._send(channel, endpoint, echo_round)
        await _wait(echo_round, answered, started + timeout_s * REPORT_BY)
        channel.drain()
        return report(echo_round, time.monotonic_ns())

    async def _send(self, channel: Channel, endpoint: Endpoint, echo_round: EchoRound) -> None:
        """Send the round's requests, evenly spaced; raises ProbeError when not one could be sent."""
        loop = asyncio.get_running_loop()
        first, refused = loop.time(), None
        for turn in range(self._settings.count):
            await asyncio.sleep(first + turn * self._settings.spacing_ms / 1000 - loop.time())
            try:
                channel.send(endpoint, echo_round)
            except ProbeError as error:
                refused = error
        if refused and not echo_round.samples:
            raise refused

    def _channel(self, family: socket.AddressFamily, interface: str) -> Channel:
        key = family, interface
        channel = self._channels.get(key)
        if channel and interface and channel.interface_index != interface_index(interface):
            # The interface was made anew under its old name; the socket is bound to the one that is gone.
            self._channels.pop(key).close()
            channel = None
        if channel is None:
            icmp = IcmpSocket(family, interface, self._rng, self._stamping)
            channel = self._channels[key] = Channel(icmp, self._settings.size, self._rng)
        return channel

    def close(self) -> None:
        """Close every socket."""
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()


async def _wait(echo_round: EchoRound, answered: asyncio.Event, until: float) -> None:
    """Wait for the replies, as long as the last request may and not past ``until`` (monotonic, s)."""
    last_s = echo_round.samples[-1].sent.monotonic_ns / 1e9
    left_s = min(until, last_s + echo_round.wait_ns / 1e9) - time.monotonic()
    if echo_round.unanswered == 0 or left_s <= 0:
        return
    answered.clear()
    try:
        async with asyncio.timeout(left_s):
            await answered.wait()
    except TimeoutError:
        return  # what is missing is lost or in flight; the report tells which
