"""A network and a broker that lose, delay, repeat, reorder and refuse, behind the Publisher port."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from edge_agent.publisher import PublishError, PublishRefused, Traffic
from tests.chaos.table import Table

TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Weather:
    """How often what goes wrong; all parts of one."""

    unreachable: float = 0.0
    """Of the connections: nobody answers, or the handshake is cut."""
    swallowed: float = 0.0
    """Of the publishes: lost on the way."""
    ack_lost: float = 0.0
    """Of the publishes: arrived, but nobody hears of it."""
    cut: float = 0.0
    """Of the publishes: the connection breaks with all that is under way."""
    refused: float = 0.0
    repeated: float = 0.0
    """Of what arrives: comes again later."""
    late_s: float = 0.2
    """How long a delivery may take: what was sent first need not come first."""


CALM = Weather()


class Network:
    """Between gateways and the table; what is under way outlives the process that sent it."""

    def __init__(self, table: Table, rng: random.Random) -> None:
        self.table = table
        self.weather = CALM
        self.is_up = True
        self.generation = 0
        """Of connections: a cut ends those that there are."""
        self.under_way = 0
        self.refusals = 0
        self._rng = rng

    def cut(self) -> None:
        """Every connection breaks."""
        self.generation += 1

    def happens(self, share: float) -> bool:
        """Whether something goes wrong this time."""
        return share > 0 and self._rng.random() < share

    def delay(self) -> float:
        """A time that a message takes."""
        return self._rng.uniform(0.01, max(self.weather.late_s, 0.02))

    def send(self, payload: bytes) -> None:
        """Deliver after a while, perhaps twice."""
        for _ in range(2 if self.happens(self.weather.repeated) else 1):
            self.under_way += 1
            asyncio.get_running_loop().call_later(self.delay(), self._arrive, payload)

    def _arrive(self, payload: bytes) -> None:
        self.under_way -= 1
        self.table.deliver(payload)


class SimulatedPublisher:
    """A gateway's way into the network."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._generation = -1

    @property
    def is_connected(self) -> bool:
        """Whether the connection stands."""
        return self._generation == self._network.generation and self._network.is_up

    async def connect(self) -> None:
        """Connect, at once when already connected; raises PublishError."""
        if self.is_connected:
            return
        network = self._network
        await asyncio.sleep(network.delay())
        if not network.is_up:
            await asyncio.sleep(TIMEOUT_S)
            raise PublishError("simulated: no answer")
        if network.happens(network.weather.unreachable):
            raise PublishError("simulated: cut in the handshake")
        self._generation = network.generation

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return when the broker has it; raises PublishRefused or PublishError."""
        if not self.is_connected:
            raise PublishError("simulated: not connected")
        network, weather = self._network, self._network.weather
        if network.happens(weather.refused):
            network.refusals += 1
            await asyncio.sleep(network.delay())
            raise PublishRefused(f"simulated: {topic}: Quota exceeded", temporary=network.happens(0.2))
        if network.happens(weather.swallowed):
            await self._unanswered()
        network.send(payload)
        if network.happens(weather.ack_lost):
            await self._unanswered()
        if network.happens(weather.cut):
            network.cut()
        await asyncio.sleep(network.delay())
        if not self.is_connected:
            raise PublishError("simulated: connection lost")

    async def close(self) -> None:
        """Disconnect."""
        self._generation = -1

    def traffic(self) -> Traffic:
        """Nobody counts here."""
        return Traffic()

    async def _unanswered(self) -> None:
        await asyncio.sleep(TIMEOUT_S)
        self._generation = -1
        raise PublishError("simulated: no acknowledgement")
