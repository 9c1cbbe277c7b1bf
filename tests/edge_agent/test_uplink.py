"""The uplink delivers everything, oldest first, within its window, however often the broker fails."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from edge_agent.contract import Reading, decode
from edge_agent.mqtt_memory import MemoryPublisher
from edge_agent.publisher import PublishError, PublishRefused
from edge_agent.spool import MemoryDisk, Spool, SpoolError
from edge_agent.taken import Settle, Taken, as_taken
from edge_agent.uplink import Uplink
from edge_agent.uplink.backoff import FIRST_BACKOFF_S, Backoff
from tests.edge_agent.uplink_rig import NOW_MS, QUICK, TOPIC, run_until, sequences, spool_in_memory, uplink

Echo = Callable[..., Reading]


@pytest.fixture
def spool() -> Iterator[Spool]:
    spool = spool_in_memory()
    yield spool
    spool.close()


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
        await asyncio.sleep(0.2)
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


def test_flush_delivers_what_is_not_yet_sealed_and_says_so(spool: Spool, echo: Echo) -> None:
    spool.append([Taken(echo(number)) for number in range(25)])
    publisher = MemoryPublisher()
    assert asyncio.run(uplink(spool, publisher).flush(5)) is True
    assert sequences(publisher) == [0, 10, 20]


def test_flush_without_a_broker_fails_and_keeps_all(spool: Spool, echo: Echo) -> None:
    spool.append([Taken(echo(0))])
    publisher = MemoryPublisher()
    publisher.is_up = False
    assert asyncio.run(uplink(spool, publisher).flush(5)) is False
    assert spool.stats().held == 1


def test_flush_with_nothing_to_send_does_not_even_connect(spool: Spool) -> None:
    publisher = MemoryPublisher()
    assert asyncio.run(uplink(spool, publisher).flush(5)) is True
    assert not publisher.is_connected


def test_a_flush_beside_the_running_uplink_sends_nothing_twice(
    spool: Spool, echo: Echo, eventually_async: Any
) -> None:
    publisher = Window()
    link = uplink(spool, publisher)

    async def work() -> None:
        running = asyncio.create_task(link.run())
        for number in range(60):
            spool.append([Taken(echo(number))])
            if number % 9 == 0:
                assert await link.flush(5)
        await eventually_async(lambda: spool.stats().held == 0)
        running.cancel()

    asyncio.run(work())
    assert len(set(sequences(publisher))) == len(publisher.received)


def test_the_calls_to_the_spool_run_in_the_executor_given(spool: Spool, echo: Echo) -> None:
    threads: set[str] = set()

    class Noting(Spool):
        def seal(self, now_ms: int, settle: Settle = as_taken, full_only: bool = False) -> int:
            threads.add(threading.current_thread().name)
            return super().seal(now_ms, settle, full_only)

        def ack(self, first_sequence: int) -> None:
            threads.add(threading.current_thread().name)
            super().ack(first_sequence)

    noting = Noting(MemoryDisk(), "gw-1", [], 1 << 20, len(TOPIC))
    noting.append([Taken(echo(0))])
    with ThreadPoolExecutor(1, "spool") as executor:
        assert asyncio.run(uplink(noting, MemoryPublisher(), executor=executor).flush(5))
    assert threads == {"spool_0"}
    noting.close()


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
