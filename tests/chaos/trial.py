"""One trial in simulated time: lives of a gateway that end badly, then calm, then the judgement."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from edge_agent.contract import Loss
from edge_agent.spool import SpoolError
from tests.chaos import damage
from tests.chaos.events import BadTimes, happen, wake_up
from tests.chaos.gateway import Life, WatchedSpool
from tests.chaos.machine_clock import MachineClock
from tests.chaos.medium import Medium
from tests.chaos.network import CALM, Network, SimulatedPublisher
from tests.chaos.oracle import Verdict, judge
from tests.chaos.plan import Ending, Plan
from tests.chaos.power_cut_disk import LifeEnded, PowerCutDisk
from tests.chaos.table import Table
from tests.chaos.time_machine import VirtualLoop, run_virtually
from tests.chaos.truth import Truth

CALM_S = 24 * 3600.0
"""Within this time of calm everything must have been delivered."""
CALLS = 400
"""A life that ends within a call to the disk ends in one of the first so many."""

log = logging.getLogger(__name__)

MakeDisk = Callable[..., PowerCutDisk]


@dataclass(frozen=True, slots=True)
class Parts:
    """What a trial is made of; tests put in parts that are broken on purpose."""

    spool: type[WatchedSpool] = WatchedSpool
    disk: MakeDisk = PowerCutDisk
    publisher: type[SimulatedPublisher] = SimulatedPublisher


def run_trial(plan: Plan, rng: random.Random, parts: Parts | None = None) -> Verdict:
    """Run the plan and judge."""
    return run_virtually(lambda loop: Trial(plan, rng, loop, parts or Parts()).run())


class Trial:
    """A gateway, its network and the table at the far end."""

    def __init__(self, plan: Plan, rng: random.Random, loop: VirtualLoop, parts: Parts) -> None:
        self._plan = plan
        self._rng = rng
        self._loop = loop
        self._parts = parts
        self._table = Table()
        self._truth = Truth()
        self._medium = Medium(plan.capacity)
        self._clock = MachineClock(loop.time)
        self._network = Network(self._table, rng)
        self._problems: list[str] = []
        self._refusals = 0
        # Damage may cost what it hits; what policy drops has no bound, all else must lose nothing.
        self._may_lose = 0 if plan.damage or not plan.allowed else None

    async def run(self) -> Verdict:
        """All lives, the calm, the judgement."""
        wake_up(self._plan, self._clock, self._rng)
        for number in range(self._plan.lives):
            await self._live(number)
        await self._rest()
        # After a sync that failed a kill leaves what a start finds whole, and a power cut takes: it was
        # never accepted, but had a number.
        allowed = self._plan.allowed | (frozenset({Loss.DAMAGED}) if self._plan.errors else frozenset())
        verdict = judge(self._truth, self._table, allowed, self._may_lose)
        verdict.refusals = self._refusals
        verdict.violations.extend(self._problems)
        return verdict

    async def _live(self, number: int) -> None:
        plan, rng = self._plan, self._rng
        ending = rng.choice(plan.endings)
        times = BadTimes(plan, rng)
        times.are_now = rng.random() < 0.3
        self._network.weather = plan.weather
        self._network.is_up = rng.random() >= plan.outages
        disk = self._parts.disk(self._medium, rng, times, self._last_call(number, ending))
        life = await self._started(disk, times)
        if life is not None:
            background = asyncio.ensure_future(
                happen(plan, times, self._network, self._clock, self._loop.pause, rng)
            )
            await self._watched(life.run(rng.uniform(*plan.life_s)))
            if ending is Ending.STOP and not disk.has_ended:
                await self._watched(life.stop())
            background.cancel()
        disk.end()
        log.info(
            "life %d ended at %.0f s by %s after %d calls", number, self._loop.time(), ending.name, disk.calls
        )
        self._after(ending)

    def _last_call(self, number: int, ending: Ending) -> int:
        if ending is Ending.STOP or (number and self._rng.random() >= self._plan.in_call):
            return 0
        if self._plan.last_call:
            return self._plan.last_call if number == 0 else self._rng.randint(1, self._plan.last_call)
        return self._rng.randint(1, CALLS) if self._plan.in_call else 0

    async def _started(self, disk: PowerCutDisk, times: BadTimes | None) -> Life | None:
        """A life that has begun; where the disk is in the way it tries again, as the agent does."""
        publisher = self._parts.publisher(self._network)
        life = Life(self._plan, disk, publisher, self._clock, self._truth, self._rng, self._parts.spool)
        while True:
            try:
                life.start()
            except LifeEnded:
                return None
            except (SpoolError, OSError) as exc:
                if type(exc) is SpoolError and times is not None and times.are_now:
                    await asyncio.sleep(5.0)
                    times.are_now = self._rng.random() < 0.7
                    continue
                self._refusals += 1
                self._problems.append(f"it refuses to start: {exc!r}")
                return None
            return life

    async def _watched(self, work: Awaitable[object]) -> None:
        try:
            await work
        except Exception as exc:
            log.exception("it crashed")
            self._problems.append(f"it crashed: {exc!r}")

    def _after(self, ending: Ending) -> None:
        plan, rng = self._plan, self._rng
        if ending is Ending.POWER:
            self._medium.cut(rng, plan.stale)
            wake_up(plan, self._clock, rng)
        if plan.damage and rng.random() < 0.7:
            done = damage.strike(self._medium, rng.choice(plan.damage), rng)
            if self._may_lose is not None:
                self._may_lose += done.may_lose
            log.info("damage: %s", done)

    async def _rest(self) -> None:
        """Nothing goes wrong any more: all that is held must arrive."""
        self._network.weather, self._network.is_up = CALM, True
        self._clock.error_s, self._clock.is_synced = 0.0, True
        life = await self._started(self._parts.disk(self._medium, self._rng), None)
        if life is None or life.spool is None:
            return
        end = self._loop.time() + CALM_S
        while self._loop.time() < end:
            await self._watched(life.run(60.0, measure=False))
            stats = life.spool.stats()
            if not (stats.unsealed or stats.batches or self._network.under_way) or self._problems:
                break
        stats = life.spool.stats()
        if stats.accepted != stats.acked + stats.dropped or stats.unsealed or stats.batches:
            self._problems.append(f"in the end the spool does not add up: {stats}")
        await self._watched(life.stop())
        while self._network.under_way:
            await asyncio.sleep(60.0)
