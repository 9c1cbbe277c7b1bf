"""The agent and a disk that hangs: nobody is held up for longer than a bounded time."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_agent.clock import ManualClock
from edge_agent.composition import make_metering
from edge_agent.config_load import load
from edge_agent.contract import Reading
from edge_agent.delivery import DeliverySide
from edge_agent.pulse import Pulse
from edge_agent.reception import Reception
from edge_agent.spool import MemoryDisk, Spool
from edge_agent.taken import Taken
from edge_agent.timekeeping import Timekeeper

Echo = Callable[..., Reading]


class HangingDisk:
    """A disk in memory whose every operation waits from a moment on."""

    def __init__(self) -> None:
        self._works = threading.Event()
        self._works.set()
        self.disk = MemoryDisk(fault=self._fault)

    def _fault(self, operation: str, name: str) -> None:
        self._works.wait()

    def hang(self) -> None:
        self._works.clear()

    def recover(self) -> None:
        self._works.set()

    def spool(self, _config: object = None) -> Spool:
        return Spool(self.disk, "gw-1", [], 1 << 22, 40)


def side(config: Path, hanging: HangingDisk, reception: Reception) -> DeliverySide:
    clock, pulse = Timekeeper(ManualClock(), 0, 0), Pulse(asyncio.get_running_loop().time)
    given, rng = load(config, {}), random.Random()
    metering = make_metering(given, clock)
    return DeliverySide(given, clock, rng, pulse, reception, metering, is_first=False, opens=hanging.spool)


def test_a_disk_that_hangs_at_the_start_holds_up_nobody_and_readings_wait(
    config_file: Any, closed_port: int, echo: Echo
) -> None:
    hanging, reception = HangingDisk(), Reception()

    async def work() -> None:
        delivery = side(config_file(closed_port), hanging, reception)
        hanging.hang()
        await delivery.start(None, 0.05)
        reception.add(Taken(echo(1)))
        assert (delivery.parts, reception.waiting) == (None, 1)
        assert not await delivery.may_let_go()
        hanging.recover()
        running = asyncio.create_task(delivery.run())
        while delivery.parts is None:
            await asyncio.sleep(0.01)
        assert await delivery.parts.intake.commit()
        running.cancel()
        assert await delivery.persist(is_last=False) == []
        await delivery.close()

    asyncio.run(work())
    assert hanging.spool().stats().held == 1


def test_a_disk_that_hangs_at_the_end_costs_a_bounded_time_and_says_what_is_left(
    config_file: Any, closed_port: int, echo: Echo
) -> None:
    hanging, reception = HangingDisk(), Reception()

    async def work() -> list[Taken]:
        delivery = side(config_file(closed_port), hanging, reception)
        await delivery.start(None, 10)
        running = asyncio.create_task(delivery.run())
        while delivery.parts is None:
            await asyncio.sleep(0.01)
        hanging.hang()
        reception.add(Taken(echo(1)))  # the disk is given it, and does not say that it has it
        assert not await delivery.may_let_go()
        reception.add(Taken(echo(2)))
        running.cancel()
        left = await delivery.persist(is_last=False)
        assert not delivery.is_all_kept
        await delivery.close()
        hanging.recover()
        return left

    assert [each.reading for each in asyncio.run(work())] == [echo(2)]
