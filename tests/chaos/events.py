"""What happens to a machine while it runs: bad times of its disk, cuts, a clock that is set, pauses."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from tests.chaos.machine_clock import MachineClock
from tests.chaos.network import Network
from tests.chaos.plan import Plan
from tests.chaos.power_cut_disk import READS, Trouble

LONG_AGO_S = -1_789_000_000.0
"""A clock without a battery begins in 1970."""
WRONG_S = (LONG_AGO_S, -86_400.0 * 30, -3_600.0, -3.0, 45.0, 3_600.0, 86_400.0 * 3_650)


class BadTimes(Trouble):
    """Errors of a disk, while they last."""

    def __init__(self, plan: Plan, rng: random.Random) -> None:
        self._plan = plan
        self._rng = rng
        self.are_now = False

    def error(self, call: str) -> int:
        """The errno of this call; 0 when it works."""
        plan = self._plan
        if not (self.are_now and plan.errors) or (plan.writes_only and call in (*READS, "lock")):
            return 0
        return self._rng.choice(plan.errors) if self._rng.random() < plan.error_share else 0


def wake_up(plan: Plan, clock: MachineClock, rng: random.Random) -> None:
    """The machine gets its power back: where the plan is about clocks, its own may be anything."""
    if plan.clock and rng.random() < 0.7:
        clock.reboot(rng.choice(WRONG_S), False)
    else:
        clock.reboot(0.0, True)


async def happen(
    plan: Plan,
    times: BadTimes,
    network: Network,
    clock: MachineClock,
    pause: Callable[[float], None],
    rng: random.Random,
) -> None:
    """Let it happen until cancelled."""
    works = [_disk(times, rng), _network(plan, network, rng)]
    if plan.clock:
        works.append(_clock(clock, rng))
    if plan.pauses:
        works.append(_pause(pause, rng))
    await asyncio.gather(*works)


async def _disk(times: BadTimes, rng: random.Random) -> None:
    while True:
        await asyncio.sleep(rng.uniform(1, 60))
        times.are_now = not times.are_now


async def _network(plan: Plan, network: Network, rng: random.Random) -> None:
    while True:
        await asyncio.sleep(rng.uniform(1, plan.outage_s))
        network.is_up = True
        if plan.cuts:
            network.cut()


async def _clock(clock: MachineClock, rng: random.Random) -> None:
    """It is set right, and sometimes set wrong by somebody, which the kernel takes for unsynchronised."""
    while True:
        await asyncio.sleep(rng.uniform(5, 120))
        if clock.is_synced and rng.random() < 0.5:
            clock.error_s, clock.is_synced = rng.choice(WRONG_S), False
        else:
            clock.error_s, clock.is_synced = 0.0, True


async def _pause(pause: Callable[[float], None], rng: random.Random) -> None:
    while True:
        await asyncio.sleep(rng.uniform(1, 60))
        pause(rng.choice((0.5, 5.0, 60.0, 1800.0)))
