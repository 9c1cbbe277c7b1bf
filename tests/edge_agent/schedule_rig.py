"""Scripted probes, and a scheduler in a time that passes as soon as everything sleeps."""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from edge_agent.clock import ManualClock
from edge_agent.contract import Link, Reading
from edge_agent.probes import Measurement
from edge_agent.probes.binding import ProbedLink
from edge_agent.schedule import Scheduler, Series
from edge_agent.taken import Taken

VALUES = (3, 3, 0, 0, 1000, 1000, 1000, 1000)
MEASURED = Measurement("connect", VALUES)
Measured = Measurement | Sequence[Measurement]
START_MS = 1_700_000_000_000


class Scripted:
    """A probe that does what it is told."""

    kind = "connect"

    def __init__(self, action: Callable[[], Awaitable[Measured]] | None = None) -> None:
        self._action = action

    async def __call__(self, link: Link) -> Measured:
        return await self._action() if self._action else MEASURED

    def close(self) -> None:
        pass


def failing(*errors: Exception | None) -> Scripted:
    """A probe whose rounds raise these in turn; None measures."""
    turns = iter(errors)

    async def act() -> Measurement:
        error = next(turns)
        if error:
            raise error
        return MEASURED

    return Scripted(act)


class VirtualTime:
    """Time that passes as soon as everything sleeps."""

    def __init__(self) -> None:
        self.clock = ManualClock(START_MS)
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    async def sleep(self, seconds: float) -> None:
        self._count += 1
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.clock.monotonic() + seconds, self._count, woken))
        await woken

    async def run(self, scheduler: Scheduler, seconds: float) -> None:
        """Run the scheduler for so long, then cancel it."""
        task = asyncio.create_task(scheduler.run())
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= seconds and not task.done():
            due, _, woken = heapq.heappop(self._sleepers)
            self.clock.advance(max(due - self.clock.monotonic(), 0))
            if not woken.cancelled():
                woken.set_result(None)
            await self._settle()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    @staticmethod
    async def _settle() -> None:
        for _ in range(10):
            await asyncio.sleep(0)


def series(name: str, probe: Scripted, period_s: float = 10, timeout_s: float = 5) -> Series:
    return Series(ProbedLink(name), "connect", probe, period_s, timeout_s)


def readings(time: VirtualTime, seconds: float, *every: Series, seed: int = 1) -> list[Reading]:
    """What a scheduler gives in so many virtual seconds."""
    taken: list[Taken] = []
    scheduler = Scheduler(every, time.clock, random.Random(seed), taken.append, time.sleep)
    asyncio.run(time.run(scheduler, seconds))
    return [each.reading for each in taken]


def taken_once(*every: Series, clock: ManualClock | None = None) -> list[Taken]:
    """One round of each, as it was taken."""
    taken: list[Taken] = []
    scheduler = Scheduler(every, clock or ManualClock(START_MS), random.Random(1), taken.append)
    asyncio.run(scheduler.run_once())
    return taken


def once(*every: Series, clock: ManualClock | None = None) -> list[Reading]:
    """The readings of one round of each."""
    return [each.reading for each in taken_once(*every, clock=clock)]
