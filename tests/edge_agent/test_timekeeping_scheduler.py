"""Timekeeping with the scheduler and the spool, as in the agent."""

from __future__ import annotations

import asyncio
import random

from edge_agent.clock import ManualClock
from edge_agent.contract import Flag, Link, Reading, decode
from edge_agent.probes import Measurement
from edge_agent.probes.binding import ProbedLink
from edge_agent.schedule import Scheduler, Series
from edge_agent.spool import MemoryDisk, Spool
from edge_agent.timekeeping import Timekeeper
from tests.edge_agent.timekeeping_rig import (
    BELIEVED,
    HOUR_S,
    NOW_MS,
    RESTAMPED,
    VALUES,
    WAIT_S,
    Gateway,
    flags,
    times,
)


class Answering:
    """A probe that takes a second of the gateway's time."""

    kind = "connect"

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    async def __call__(self, link: ProbedLink) -> Measurement:
        self._clock.advance(1)
        return Measurement("connect", VALUES)

    def close(self) -> None:
        pass


def test_rounds_of_the_scheduler_before_and_after_the_synchronisation_end_up_one_after_another() -> None:
    gateway = Gateway(0)
    series = Series(ProbedLink("a"), "connect", Answering(gateway.clock), 10, 5)
    scheduler = Scheduler([series], gateway.keeper, random.Random(1), gateway.journal.append)
    for turn in range(6):
        if turn == 3:
            gateway.synchronise(NOW_MS)
        asyncio.run(scheduler.run_once())
    gateway.seal()
    assert times(gateway.sealed) == [NOW_MS + 1000 * turn for turn in range(-3, 3)]
    assert [each.flags for each in gateway.sealed] == [RESTAMPED] * 3 + [BELIEVED] * 3


def test_through_a_spool_a_power_cut_and_a_late_synchronisation_every_reading_arrives_with_its_time() -> None:
    """Scheduler, spool on a disk that loses what was not synced, sealing, and the decoder of the cloud."""
    disk, gateway = MemoryDisk(), Gateway(NOW_MS, synced=True)
    spool = opened(disk)

    def rounds(turns: int) -> None:
        series = Series(ProbedLink("a"), "connect", Answering(gateway.clock), 10, 5)
        scheduler = Scheduler([series], gateway.keeper, random.Random(1), gateway.journal.append)
        for _ in range(turns):
            asyncio.run(scheduler.run_once())
        spool.append(gateway.journal)
        gateway.journal.clear()

    rounds(2)
    assert spool.seal(gateway.keeper.wall_ms(), gateway.keeper.settle) == 1
    gateway.clock.reboot(0, "never synchronised")
    gateway.keeper = Timekeeper(gateway.clock, WAIT_S, spool.latest_ms())
    rounds(3)
    assert spool.seal(gateway.keeper.wall_ms(), gateway.keeper.settle) == 0
    disk = disk.after_power_cut(random.Random(1))
    spool = opened(disk)
    gateway.clock.reboot(0, "synchronised late")
    gateway.keeper = Timekeeper(gateway.clock, WAIT_S, spool.latest_ms())
    rounds(4)
    gateway.synchronise(NOW_MS + HOUR_S * 1000)
    spool.seal(gateway.keeper.wall_ms(), gateway.keeper.settle)
    arrived = [each for sealed in spool.pending(99) for each in decode(sealed.payload).readings]
    first, cut, last = arrived[:2], arrived[2:5], arrived[5:]
    assert times(first) == [NOW_MS, NOW_MS + 1_000]
    assert times(cut) == [NOW_MS + 1_000 * turn for turn in (1, 2, 3)]
    assert times(last) == [NOW_MS + HOUR_S * 1000 - 1_000 * turn for turn in (4, 3, 2, 1)]
    assert [flags(each) for each in (first, cut, last)] == [{BELIEVED}, {Flag.NONE}, {RESTAMPED}]
    spool.close()


def opened(disk: MemoryDisk) -> Spool:
    return Spool(disk, "gateway", [Link("a")], 1 << 20, 40, now_s=lambda: NOW_MS / 1000)


def test_a_round_in_which_the_clock_is_doubted_says_so() -> None:
    gateway = Gateway(NOW_MS, synced=True)

    class Setting(Answering):
        async def __call__(self, link: ProbedLink) -> Measurement:
            gateway.clock.step(-HOUR_S)
            return await super().__call__(link)

    series = Series(ProbedLink("a"), "connect", Setting(gateway.clock), 10, 5)
    asyncio.run(Scheduler([series], gateway.keeper, random.Random(1), gateway.journal.append).run_once())
    assert gateway.seal() == []
    gateway.clock.step(HOUR_S)
    (reading,) = gateway.seal()
    assert reading == Reading("a", "connect", NOW_MS, VALUES, Flag.CLOCK_STEPPED | BELIEVED)
