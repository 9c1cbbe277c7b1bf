"""The fleet: each gateway's rounds at their times, handed to a sink, noted as truth, delivered to the end."""

from __future__ import annotations

import asyncio
import heapq
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from edge_agent.contract import Reading
from simulator.world import Gateway, World


class Sink(Protocol):
    """Where readings go; what it has accepted it delivers, or it says that it has not."""

    async def open(self) -> None:
        """Be ready for readings; raises SimulatorError."""
        ...

    def accept(self, gateway: Gateway, readings: Sequence[Reading]) -> None:
        """Take charge of the readings."""
        ...

    async def flush(self) -> None:
        """A flush is due; raises SimulatorError when delivering is hopeless."""
        ...

    async def finish(self, within_s: float) -> None:
        """Deliver all that was accepted, as far as that is possible within the time."""
        ...

    async def close(self) -> None:
        """Let go of connections and files; it may be called at any point."""
        ...

    @property
    def acknowledged(self) -> int:
        """Readings that the other side has confirmed."""
        ...

    @property
    def connected(self) -> int:
        """Gateways that have a connection of their own now."""
        ...


class Clock(Protocol):
    """The time of the simulated world."""

    def now_ms(self) -> int:
        """Milliseconds since 1970 UTC."""
        ...

    async def sleep_until(self, at_ms: int, stop: asyncio.Event) -> None:
        """Return at this time, or at once when asked to stop."""
        ...


class RealClock:
    """The world keeps pace with the wall clock; a step of that clock does not bunch or skip rounds."""

    def __init__(self) -> None:
        self._offset_ms = time.time_ns() // 1_000_000 - self._monotonic_ms()

    def now_ms(self) -> int:
        """The wall time at the start plus what has passed since."""
        return self._offset_ms + self._monotonic_ms()

    async def sleep_until(self, at_ms: int, stop: asyncio.Event) -> None:
        """Wait for the time or for the stop."""
        left_s = (at_ms - self.now_ms()) / 1000
        if left_s <= 0:
            await asyncio.sleep(0)
            return
        try:
            await asyncio.wait_for(stop.wait(), left_s)
        except TimeoutError:
            return

    @staticmethod
    def _monotonic_ms() -> int:
        return time.monotonic_ns() // 1_000_000


class FastClock:
    """The world runs as fast as its readings can be made."""

    def __init__(self, start_ms: int) -> None:
        self._now_ms = start_ms

    def now_ms(self) -> int:
        """The simulated time."""
        return self._now_ms

    async def sleep_until(self, at_ms: int, stop: asyncio.Event) -> None:
        """Be there at once."""
        self._now_ms = max(self._now_ms, at_ms)
        await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class Plan:
    """How long the fleet measures and how often, ms."""

    interval_ms: int
    duration_ms: int | None
    """None: until it is stopped."""
    flush_ms: int


@dataclass(slots=True)
class Counts:
    """Readings so far."""

    generated: int = 0
    accepted: int = 0


class Fleet:
    """Runs the gateways of a world."""

    def __init__(
        self,
        world: World,
        plan: Plan,
        sink: Sink,
        clock: Clock,
        note: Callable[[str, Sequence[Reading]], None] | None = None,
    ) -> None:
        """``note`` is told each gateway's readings once the sink has accepted them."""
        self.counts = Counts()
        self._world = world
        self._plan = plan
        self._sink = sink
        self._clock = clock
        self._note = note

    async def run(self, stop: asyncio.Event) -> None:
        """All rounds, until the duration is over or a stop is asked for; ``finish`` delivers the rest."""
        start_ms = self._clock.now_ms()
        end_ms = None if self._plan.duration_ms is None else start_ms + self._plan.duration_ms
        rounds = self._first_rounds(start_ms)
        flush_ms = start_ms + self._plan.flush_ms
        while not stop.is_set():
            due_ms = min(rounds[0][0], flush_ms)
            if end_ms is not None and due_ms >= end_ms:
                await self._clock.sleep_until(end_ms, stop)
                return
            await self._clock.sleep_until(due_ms, stop)
            if stop.is_set():
                return
            if due_ms == flush_ms:
                await self._sink.flush()
                flush_ms += self._plan.flush_ms
                continue
            _, index, first = heapq.heappop(rounds)
            self._round(self._world.gateways[index], due_ms, first)
            heapq.heappush(rounds, (due_ms + self._plan.interval_ms, index, False))

    def _first_rounds(self, start_ms: int) -> list[tuple[int, int, bool]]:
        """A heap of (time, gateway, is first): a random phase each, so that load is even."""
        rng = random.Random(f"phase/{self._world.seed}")
        rounds = [
            (start_ms + rng.randrange(self._plan.interval_ms), index, True)
            for index in range(len(self._world.gateways))
        ]
        heapq.heapify(rounds)
        return rounds

    def _round(self, gateway: Gateway, at_ms: int, first: bool) -> None:
        readings = gateway.readings(at_ms, None if first else self._plan.interval_ms)
        self.counts.generated += len(readings)
        self._sink.accept(gateway, readings)
        self.counts.accepted += len(readings)
        if self._note is not None:
            self._note(gateway.name, readings)
