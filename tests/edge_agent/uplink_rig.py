"""An uplink on a spool in memory: what its tests build on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from edge_agent.config import UplinkSettings
from edge_agent.contract import KINDS, Flag, Reading, decode
from edge_agent.mqtt_memory import MemoryPublisher
from edge_agent.spool import MemoryDisk, Spool
from edge_agent.taken import Taken
from edge_agent.uplink import Uplink

Echo = Callable[..., Reading]

TOPIC = "$aws/rules/demo_ingest/v1/gw-1/m"
NOW_MS = 1_790_000_000_000
QUICK = UplinkSettings(flush_s=0.01, max_in_flight=4, backoff_max_s=0.02, order="oldest-first")
ON_REQUEST = UplinkSettings(flush_s=3600, max_in_flight=4, backoff_max_s=0.02)
"""Nothing is sealed by itself while a test runs."""


def spool_in_memory(
    disk: MemoryDisk | None = None, batch_readings: int = 10, made: type[Spool] = Spool
) -> Spool:
    return made(disk or MemoryDisk(), "gw-1", [], 1 << 20, len(TOPIC), batch_readings=batch_readings)


def uplink(spool: Spool, publisher: Any, settings: UplinkSettings = QUICK, **options: Any) -> Uplink:
    return Uplink(spool, publisher, TOPIC, settings, wall_ms=lambda: NOW_MS, rng=random.Random(1), **options)


def sequences(publisher: MemoryPublisher) -> list[int]:
    """The first sequence of each batch that arrived."""
    return [decode(payload).first_sequence for _, payload in publisher.received]


def fill(spool: Spool, readings: Sequence[Reading]) -> None:
    spool.append([Taken(each) for each in readings])


def alarm(at_ms: int = NOW_MS) -> Reading:
    """A link went down."""
    columns = len(KINDS["state"].columns)
    return Reading("north", "state", at_ms, (0,) + (1,) * (columns - 1), Flag.CLOCK_SYNCED)


class Window(MemoryPublisher):
    """Answers on the next turns of the loop and notes how many wait at once."""

    def __init__(self) -> None:
        super().__init__()
        self.open = self.widest = 0

    async def publish(self, topic: str, payload: bytes) -> None:
        self.open += 1
        self.widest = max(self.widest, self.open)
        await asyncio.sleep(0.001)
        self.open -= 1
        await super().publish(topic, payload)


async def run_until(
    uplink: Uplink, holds: Callable[[], object], eventually: Callable[..., Awaitable[None]]
) -> None:
    """Let the uplink run until something holds, and end it."""
    running = asyncio.create_task(uplink.run())
    try:
        await eventually(lambda: holds() or running.done())
        assert not running.done(), "the uplink ended by itself"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
