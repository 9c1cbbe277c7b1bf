"""The fleet: each gateway's rounds at their times, handed to a sink, noted as truth, delivered to the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from edge_agent.contract import Reading
from simulator.rounds import Plan, Round, Rounds
from simulator.world import Gateway, World

AHEAD = 2_000
"""Readings of the past, a gateway, that wait at most to be acknowledged before more of it is made."""
LOOK_MS = 50
"""So often is asked whether they still do."""


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
        with suppress(TimeoutError):
            async with asyncio.timeout(left_s):
                await stop.wait()

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
        self._arrived = 0
        """Readings acknowledged when that was last asked for."""

    async def run(self, stop: asyncio.Event) -> None:
        """All rounds, those of the past at once, until the duration is over or a stop is asked for.

        ``finish`` delivers the rest.
        """
        start_ms = self._clock.now_ms()
        end_ms = None if self._plan.duration_ms is None else start_ms + self._plan.duration_ms
        rounds = Rounds(self._plan, self._world.seed, len(self._world.gateways), start_ms)
        flush_ms = start_ms + self._plan.flush_ms
        while not stop.is_set():
            due_ms = min(rounds.next_ms, flush_ms)
            if end_ms is not None and due_ms >= end_ms:
                await self._clock.sleep_until(end_ms, stop)
                return
            await self._clock.sleep_until(due_ms, stop)
            if due_ms < start_ms:
                await self._let_past_arrive(stop)
            if stop.is_set():
                return
            if due_ms == flush_ms:
                await self._sink.flush()
                flush_ms += self._plan.flush_ms
                continue
            self._round(rounds.take())

    async def _let_past_arrive(self, stop: asyncio.Event) -> None:
        """Wait while too much is on its way: the past is made faster than any network takes it."""
        most = AHEAD * len(self._world.gateways)
        while self.counts.accepted - self._arrived > most and not stop.is_set():
            await self._sink.flush()
            self._arrived = self._sink.acknowledged
            if self.counts.accepted - self._arrived > most:
                await self._clock.sleep_until(self._clock.now_ms() + LOOK_MS, stop)

    def _round(self, due: Round) -> None:
        gateway = self._world.gateways[due.gateway]
        readings = gateway.readings(due.at_ms, due.period_ms)
        self.counts.generated += len(readings)
        self._sink.accept(gateway, readings)
        self.counts.accepted += len(readings)
        if self._note is not None:
            self._note(gateway.name, readings)
