"""ICMP echo: round-trip time, loss and delay variation of a link (RFC 2681, RFC 7680, RFC 3393)."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from edge_agent.contract import Outcome
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.echo_channel import Channel
from edge_agent.probes.echo_ledger import SEQUENCES, EchoRound, Ledger, Tally
from edge_agent.probes.echo_statistics import report
from edge_agent.probes.icmp_socket import IcmpSocket
from edge_agent.probes.probe import ICMP_HEADER, Cadence, Measurement, ProbeError, require_between
from edge_agent.probes.resolve import Endpoint, Resolver
from edge_agent.probes.socket_errors import interface_index
from edge_agent.probes.stamps import WallClock

WAIT_UNTIL = 0.9
"""The part of a round's timeout at which its last request has waited long enough, if all went in time."""
REPORT_BY = 0.95
"""The part of its timeout after which a round that began late reports what it has, and does not overrun."""
RESOLVE_WITHIN = 0.5
SPACINGS = ("periodic", "poisson")


@dataclass(frozen=True, slots=True)
class EchoSettings(Cadence):
    """How a link is echoed; a request waits 0.9 x timeout_s, less the time of sending, for its reply."""

    period_s: float = 10
    timeout_s: float = 5
    """Of the whole round."""
    count: int = 5
    spacing_ms: int = 200
    spacing: str = "periodic"
    """"periodic", or "poisson": at random moments, so that nothing periodic is missed (RFC 2330, 11.1)."""
    size: int = 56
    """Bytes of ICMP payload."""

    def __post_init__(self) -> None:
        section = "probe.echo"
        self.check_cadence(section)
        require_between(section, "count", self.count, 1, 100)
        require_between(section, "spacing_ms", self.spacing_ms, 1, 10_000)
        require_between(section, "size", self.size, 18, 1452)
        if self.spacing not in SPACINGS:
            raise ValueError(f"{section}: spacing is {self.spacing!r}, not one of {', '.join(SPACINGS)}")
        if self.wait_s < self.timeout_s / 10:
            raise ValueError(
                f"{section}: {self.count} requests {self.spacing_ms} ms apart do not fit timeout_s"
            )

    def round_bytes(self, ip_header: int) -> int:
        """Every request and its reply."""
        return 2 * self.count * (ip_header + ICMP_HEADER + self.size)

    @property
    def sending_s(self) -> float:
        """The longest time from a round's start to its last request."""
        gaps = self.count - (self.spacing == "periodic")
        return gaps * self.spacing_ms / 1000

    @property
    def wait_s(self) -> float:
        """How long each request waits for its reply, s."""
        return WAIT_UNTIL * self.timeout_s - self.sending_s

    def offsets_ns(self, rng: random.Random) -> Sequence[int]:
        """When the requests of a round are due, from its start.

        The moments of a Poisson process, given their number, are uniform and independent over the time: so
        a round is never longer than its timeout, and the mean rate is that of the spacing.
        """
        if self.spacing == "poisson":
            return sorted([int(rng.random() * self.sending_s * 1e9) for _ in range(self.count)])
        return range(0, self.count * self.spacing_ms * 1_000_000, self.spacing_ms * 1_000_000)


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
