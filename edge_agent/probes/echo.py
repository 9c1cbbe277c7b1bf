"""ICMP echo: round-trip time, loss and delay variation of a link (RFC 2681, RFC 7680, RFC 3393)."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from edge_agent.contract import Outcome
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.echo_channel import Channel
from edge_agent.probes.echo_ledger import SEQUENCES, EchoRound, Ledger, Tally
from edge_agent.probes.echo_settings import EchoSettings
from edge_agent.probes.echo_statistics import report
from edge_agent.probes.icmp_socket import IcmpSocket
from edge_agent.probes.probe import Measurement, ProbeError
from edge_agent.probes.resolve import Endpoint, Resolver
from edge_agent.probes.socket_errors import interface_index
from edge_agent.probes.stamps import WallClock

REPORT_BY = 0.95
"""The part of its timeout after which a round that began late reports what it has, and does not overrun."""
RESOLVE_WITHIN = 0.5


class EchoObserver(Protocol):
    """Told of each round of echoes, for what else may be read from their times."""

    def began(self, link: ProbedLink) -> None:
        """A round is about to send."""
        ...

    def ended(self, link: ProbedLink, trips_ns: Sequence[int | None]) -> None:
        """A round that began has ended: its round trips, None for a lost one; empty if not measured."""
        ...


ChannelKey = tuple[int, str, str, int]


class EchoProbe:
    """Echoes links over one socket for each family and way out of this machine, opened on first use."""

    kind = "echo"

    def __init__(
        self,
        settings: EchoSettings,
        rng: random.Random | None = None,
        resolver: Resolver | None = None,
        stamping: bool = True,
        clock: Callable[[], WallClock] = WallClock,
    ) -> None:
        self._settings = settings
        self._rng = rng or random.SystemRandom()
        self._resolver = resolver or Resolver()
        self._stamping = stamping
        self._clock = clock
        self._channels: dict[ChannelKey, list[Channel]] = {}
        self._tallies: dict[str, Tally] = {}
        self._observers: list[EchoObserver] = []

    def observe(self, observer: EchoObserver) -> None:
        """Tell an observer of every round from now on."""
        self._observers.append(observer)

    async def __call__(self, link: ProbedLink) -> Measurement:
        """Send one round of requests to the link's target and report it."""
        started = time.monotonic()
        timeout_s = self._settings.timeout_s
        endpoint = await self._resolver.resolve(link.target, link.device, timeout_s * RESOLVE_WITHIN)
        echo_round = self._round(link, endpoint)
        channel = self._channel(endpoint.family, link, echo_round)
        trips: Sequence[int | None] = ()
        for observer in self._observers:
            observer.began(link)
        try:
            measurement, trips = await self._measure(channel, echo_round, started + timeout_s * REPORT_BY)
            return measurement
        finally:
            channel.end(echo_round)
            for observer in self._observers:
                observer.ended(link, trips)

    async def _measure(
        self, channel: Channel, echo_round: EchoRound, until: float
    ) -> tuple[Measurement, Sequence[int | None]]:
        turn = await channel.run(echo_round, self._settings.offsets_ns(self._rng), int(until * 1e9))
        if echo_round.unanswered and channel.overflowed(turn):
            message = "replies came faster than they were read, and were dropped: raise net.core.rmem_max"
            raise ProbeError(Outcome.FAILED, message)
        return report(echo_round, time.monotonic_ns(), channel.stepped(turn))

    def _round(self, link: ProbedLink, endpoint: Endpoint) -> EchoRound:
        settings = self._settings
        tally = self._tallies.get(link.id)
        if tally is None:
            tally = self._tallies[link.id] = Tally()
        payload = self._rng.randbytes(settings.size)
        return EchoRound(int(settings.wait_s * 1e9), tally, endpoint.sockaddr(), payload, settings.count)

    def _channel(self, family: socket.AddressFamily, link: ProbedLink, echo_round: EchoRound) -> Channel:
        """The link's channel, in which the round is open; a further one when all sequence numbers are out."""
        key = int(family), link.device, link.source, link.mark
        channels = self._channels.setdefault(key, [])
        if channels and link.device and channels[0].interface_index != interface_index(link.device):
            # The interface was made anew under its old name; the sockets are bound to the one that is gone.
            _close(channels)
        for channel in channels:
            if channel.open(echo_round):
                return channel
        channel = self._new_channel(family, link)
        channels.append(channel)
        channel.open(echo_round)
        return channel

    def _new_channel(self, family: socket.AddressFamily, link: ProbedLink) -> Channel:
        count = self._settings.count
        icmp = IcmpSocket(family, link, self._rng, self._stamping, self._settings.size)
        ledger = Ledger(family, icmp.identifier, count, self._rng.randrange(SEQUENCES // count))
        return Channel(icmp, ledger, self._settings.size, self._clock())

    def close(self) -> None:
        """Close every socket."""
        for channels in self._channels.values():
            _close(channels)
        self._channels.clear()


def _close(channels: list[Channel]) -> None:
    while channels:
        channels.pop().close()
