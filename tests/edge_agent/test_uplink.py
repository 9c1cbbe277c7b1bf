"""The uplink delivers everything, oldest first, within its window, however often the broker fails."""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import replace
from typing import Any

import pytest

from edge_agent.contract import decode
from edge_agent.mqtt_memory import MemoryPublisher
from edge_agent.publisher import PublishError, PublishRefused
from edge_agent.spool import Spool
from edge_agent.taken import Taken
from tests.edge_agent.uplink_rig import NOW_MS, QUICK, TOPIC, Echo, Window, run_until, sequences, uplink


class Flaky(MemoryPublisher):
    """Fails at random: before the broker has it, after it (the answer is lost), or in connecting."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._rng = random.Random(seed)

    async def connect(self) -> None:
        if self._rng.random() < 0.3:
            raise PublishError("flaky: no route")
        await super().connect()

    async def publish(self, topic: str, payload: bytes) -> None:
        fate = self._rng.random()
        if fate < 0.2:
            self.is_connected = False
            raise PublishError("flaky: lost on the way")
        await super().publish(topic, payload)
        if fate > 0.8:
            raise PublishError("flaky: the answer was lost")


@pytest.mark.parametrize("order", ["oldest-first", "newest-first"])
def test_a_backlog_is_delivered_in_the_order_chosen_and_leaves_the_spool(
    spool: Spool, echo: Echo, eventually_async: Any, order: str
) -> None:
    spool.append([Taken(echo(number)) for number in range(95)])
    spool.seal(NOW_MS)
    publisher = MemoryPublisher()
    link = uplink(spool, publisher, replace(QUICK, order=order))
    asyncio.run(run_until(link, lambda: spool.stats().held == 0, eventually_async))
    assert sequences(publisher) == sorted(range(0, 95, 10), reverse=order == "newest-first")
    assert {topic for topic, _ in publisher.received} == {TOPIC}
    assert spool.stats().acked == 95


def test_no_more_than_the_window_waits_for_an_answer(spool: Spool, echo: Echo, eventually_async: Any) -> None:
    spool.append([Taken(echo(number)) for number in range(300)])
    spool.seal(NOW_MS)
    publisher = Window()
    asyncio.run(run_until(uplink(spool, publisher), lambda: spool.stats().held == 0, eventually_async))
    assert publisher.widest == QUICK.max_in_flight - 1, "a part of the window is kept from a backlog"


@pytest.mark.parametrize("seed", range(5))
def test_whatever_fails_every_batch_arrives_unchanged(
    spool: Spool, echo: Echo, eventually_async: Any, seed: int
) -> None:
    given = [echo(number) for number in range(200)]
    spool.append([Taken(each) for each in given])
    publisher = Flaky(seed)
    asyncio.run(run_until(uplink(spool, publisher), lambda: spool.stats().held == 0, eventually_async))
    arrived = dict(zip(sequences(publisher), (payload for _, payload in publisher.received), strict=True))
    assert len(set(publisher.received)) == len(arrived), "a batch was sent again with other bytes"
    assert [reading for first in sorted(arrived) for reading in decode(arrived[first]).readings] == given


def test_nothing_leaves_the_spool_before_its_acknowledgement(spool: Spool, echo: Echo) -> None:
    spool.append([Taken(echo(0))])

    class Silent(MemoryPublisher):
        async def publish(self, topic: str, payload: bytes) -> None:
            await asyncio.Event().wait()

    assert asyncio.run(uplink(spool, Silent()).flush(0.05)) is False
    assert spool.stats().held == 1


def test_a_refused_batch_is_kept_tried_again_and_told_once(
    spool: Spool, echo: Echo, eventually_async: Any, caplog: pytest.LogCaptureFixture
) -> None:
    spool.append([Taken(echo(0))])
    tries = 0

    class Refusing(MemoryPublisher):
        async def publish(self, topic: str, payload: bytes) -> None:
            nonlocal tries
            tries += 1
            raise PublishRefused("broker: Not authorized")

    asyncio.run(run_until(uplink(spool, Refusing()), lambda: tries >= 4, eventually_async))
    assert spool.stats().held == 1
    assert [record.levelno for record in caplog.records if "Not authorized" in record.message] == [
        logging.ERROR
    ]


def test_what_others_got_through_beside_a_refused_one_is_not_sent_again(spool: Spool, echo: Echo) -> None:
    spool.append([Taken(echo(number)) for number in range(30)])

    class Picky(MemoryPublisher):
        async def publish(self, topic: str, payload: bytes) -> None:
            if decode(payload).first_sequence == 0:
                raise PublishRefused("broker: Quota exceeded")
            await asyncio.sleep(0.01)
            await super().publish(topic, payload)

    publisher = Picky()
    assert asyncio.run(uplink(spool, publisher).flush(5)) is False
    assert sequences(publisher) == [10, 20]
    assert spool.stats().held == 10
