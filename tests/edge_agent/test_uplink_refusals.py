"""A batch that the broker will never take is given up; a broker that takes nothing costs nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from edge_agent.contract import Loss, decode
from edge_agent.mqtt_memory import MemoryPublisher
from edge_agent.publisher import PublishRefused
from edge_agent.spool import Spool
from edge_agent.uplink.refusals import REMEMBERED, TRIES, Refusals
from edge_agent.uplink.window import MAX_SKIPPED
from tests.edge_agent.uplink_rig import NOW_MS, Echo, fill, run_until, uplink


class Picky(MemoryPublisher):
    """Refuses some batches, by their first sequence."""

    def __init__(self, refuses: Callable[[int], bool], temporary: bool = False) -> None:
        super().__init__()
        self._refuses = refuses
        self._temporary = temporary
        self.refusals: list[int] = []

    async def publish(self, topic: str, payload: bytes) -> None:
        first = decode(payload).first_sequence
        if self._refuses(first):
            self.refusals.append(first)
            raise PublishRefused("broker: Payload format invalid", self._temporary)
        await super().publish(topic, payload)


async def feed(spool: Spool, echo: Echo, links: Any, until: Callable[[], object]) -> None:
    """Measure on while the uplink runs, until something holds."""
    running = asyncio.create_task(links.run())
    number = 10_000
    async with asyncio.timeout(15):
        while not until() and not running.done():
            fill(spool, [echo(number)])
            number += 1
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def test_a_batch_that_is_refused_while_others_pass_is_given_up_and_told_of(
    spool: Spool, echo: Echo, caplog: pytest.LogCaptureFixture
) -> None:
    fill(spool, [echo(number) for number in range(30)])
    spool.seal(NOW_MS)
    publisher = Picky(lambda first: first == 0)
    link = uplink(spool, publisher)
    asyncio.run(feed(spool, echo, link, lambda: link.counts().refused))
    assert {*publisher.refusals} == {0}
    assert TRIES <= len(publisher.refusals) <= 3 * TRIES, "one after which nothing passed does not count"
    assert spool.stats().dropped_by[Loss.REFUSED] == 10
    told = [each for each in caplog.records if each.levelno == logging.ERROR and "given up" in each.message]
    assert len(told) == 1
    assert link.counts().state == "delivering"


def test_while_everything_is_refused_nothing_is_given_up(
    spool: Spool, echo: Echo, eventually_async: Any
) -> None:
    fill(spool, [echo(number) for number in range(30)])
    spool.seal(NOW_MS)
    publisher = Picky(lambda first: True)
    link = uplink(spool, publisher)
    asyncio.run(run_until(link, lambda: len(publisher.refusals) > 10 * TRIES, eventually_async))
    assert (spool.stats().held, link.counts().refused, link.counts().state) == (30, 0, "refused")


def test_a_refusal_for_the_moment_never_gives_a_batch_up(spool: Spool, echo: Echo) -> None:
    fill(spool, [echo(number) for number in range(10)])
    spool.seal(NOW_MS)
    publisher = Picky(lambda first: first == 0, temporary=True)
    link = uplink(spool, publisher)
    asyncio.run(feed(spool, echo, link, lambda: len(publisher.refusals) > 3 * TRIES))
    assert link.counts().refused == 0


def test_many_refused_batches_block_nothing_and_go_in_the_end(spool: Spool, echo: Echo) -> None:
    fill(spool, [echo(number) for number in range(MAX_SKIPPED * 10 + 200)])
    spool.seal(NOW_MS)
    while spool.seal(NOW_MS):
        pass
    publisher = Picky(lambda first: first < MAX_SKIPPED * 10)
    link = uplink(spool, publisher)
    asyncio.run(feed(spool, echo, link, lambda: link.counts().refused >= MAX_SKIPPED))
    assert spool.stats().dropped_by[Loss.REFUSED] == MAX_SKIPPED * 10


def test_refusals_that_nobody_clears_up_are_forgotten() -> None:
    refusals = Refusals()
    for each in range(10 * REMEMBERED):
        assert not refusals.is_final(each, temporary=False)
    assert len(refusals._refused) <= REMEMBERED
