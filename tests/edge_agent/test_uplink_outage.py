"""The uplink in an outage: what it tells, what it seals, and when it tries again."""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import replace
from typing import Any

import pytest

from edge_agent.mqtt_memory import MemoryPublisher
from edge_agent.spool import MemoryDisk, Spool, SpoolError
from edge_agent.taken import Settle, Taken, as_taken
from edge_agent.uplink import Uplink
from edge_agent.uplink.backoff import FIRST_BACKOFF_S, Backoff
from tests.edge_agent.uplink_rig import NOW_MS, QUICK, TOPIC, Echo, run_until, uplink


def test_an_outage_is_told_once_when_it_begins_and_once_when_it_ends(
    spool: Spool, echo: Echo, eventually_async: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    spool.append([Taken(echo(0))])
    publisher = MemoryPublisher()
    publisher.is_up = False
    link = uplink(spool, publisher)

    async def work() -> None:
        running = asyncio.create_task(link.run())
        await eventually_async(lambda: link.counts().failed >= 3)
        publisher.is_up = True
        await eventually_async(lambda: spool.stats().held == 0)
        running.cancel()

    asyncio.run(work())
    told = [record.message for record in caplog.records if record.name == "edge_agent.uplink"]
    assert told == [
        "uplink: memory: the broker is down; batches are kept, trying again",
        "uplink: batches are being delivered",
    ]


def test_a_disk_and_a_broker_that_fail_in_turns_are_told_once_each(
    spool: Spool, echo: Echo, eventually_async: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Full(Spool):
        calls = 0

        def seal(self, now_ms: int, settle: Settle = as_taken, full_only: bool = False) -> int:
            self.calls += 1
            raise SpoolError("disk full")

    full = Full(MemoryDisk(), "gw-1", [], 1 << 20, len(TOPIC))
    full.append([Taken(echo(0))])
    Spool.seal(full, NOW_MS)
    publisher = MemoryPublisher()
    publisher.is_up = False
    asyncio.run(run_until(uplink(full, publisher), lambda: full.calls > 20, eventually_async))
    full.close()
    told = sorted(record.message for record in caplog.records if record.name == "edge_agent.uplink")
    assert told == [
        "uplink: memory: the broker is down; batches are kept, trying again",
        "uplink: the spool fails: disk full; trying again",
    ]


def test_while_nothing_can_be_sent_only_full_batches_are_sealed(
    spool: Spool, echo: Echo, eventually_async: Any
) -> None:
    publisher = MemoryPublisher()
    publisher.is_up = False
    link = uplink(spool, publisher)

    async def work() -> None:
        running = asyncio.create_task(link.run())
        spool.append([Taken(echo(0))])
        await eventually_async(lambda: spool.stats().batches == 1)
        for number in range(1, 25):
            spool.append([Taken(echo(number))])
            await asyncio.sleep(0.012)
        running.cancel()

    asyncio.run(work())
    assert len(spool.pending(100)) <= 5, "a batch for each reading would cost the price of a message each"


def test_the_back_off_grows_to_its_limit_with_full_jitter() -> None:
    backoff = Backoff(60, random.Random(1))
    for limit in (*(2.0**failures * FIRST_BACKOFF_S for failures in range(1, 6)), 60.0, 60.0):
        backoff.failed(0)
        drawn = [backoff.next_s() for _ in range(2000)]
        assert 0.95 * limit < max(drawn) <= limit
        assert min(drawn) < 0.05 * limit, "jitter that is not full keeps a fleet in step"


class Limits(random.Random):
    """Draws 0 and notes the limit it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[float] = []

    def uniform(self, a: float, b: float) -> float:
        self.given.append(b)
        return 0.0


def test_a_connection_that_was_lost_while_idle_is_made_again_after_a_random_wait(
    spool: Spool, echo: Echo, eventually_async: Any
) -> None:
    publisher, rng = MemoryPublisher(), Limits()
    settings = replace(QUICK, backoff_max_s=60)
    link = Uplink(spool, publisher, TOPIC, settings, wall_ms=lambda: NOW_MS, rng=rng)

    async def work() -> None:
        running = asyncio.create_task(link.run())
        for number in range(3):
            spool.append([Taken(echo(number))])
            await eventually_async(lambda: spool.stats().held == 0)
            publisher.is_connected = False
        await eventually_async(lambda: 8 * FIRST_BACKOFF_S in rng.given)
        running.cancel()

    asyncio.run(work())
    assert rng.given == [QUICK.flush_s, 0.0, *(2.0**each * FIRST_BACKOFF_S for each in (1, 2, 3))]


def test_a_connection_that_held_forgets_the_failures_before_it_and_a_short_one_does_not() -> None:
    backoff = Backoff(3600, random.Random(1))
    for _ in range(10):
        backoff.failed(2)
    assert max(backoff.next_s() for _ in range(2000)) > 900
    backoff.failed(3600)
    assert max(backoff.next_s() for _ in range(2000)) <= 2 * FIRST_BACKOFF_S
