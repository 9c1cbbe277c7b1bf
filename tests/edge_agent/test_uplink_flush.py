"""A flush of the uplink, and the executor that its calls to the spool run in."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from edge_agent.mqtt_memory import MemoryPublisher
from edge_agent.spool import MemoryDisk, Spool
from edge_agent.taken import Settle, Taken, as_taken
from tests.edge_agent.uplink_rig import TOPIC, Echo, Window, sequences, uplink


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
