"""What goes first: alarms, what was just measured, the backlog; none starves another."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from edge_agent.budget import Purpose
from edge_agent.contract import decode
from edge_agent.mqtt_memory import MemoryPublisher
from edge_agent.spool import Sealed, Spool
from edge_agent.uplink.lanes import choose, reserved
from tests.edge_agent.uplink_rig import (
    NOW_MS,
    ON_REQUEST,
    Echo,
    alarm,
    fill,
    run_until,
    sequences,
    spool_in_memory,
    uplink,
)


class Gate(MemoryPublisher):
    """Answers a publish when it is let through."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []
        self._may = asyncio.Semaphore(0)

    def let(self, count: int) -> None:
        for _ in range(count):
            self._may.release()

    async def publish(self, topic: str, payload: bytes) -> None:
        self.asked.append(decode(payload).first_sequence)
        await self._may.acquire()
        await super().publish(topic, payload)


# --- lanes ----------------------------------------------------------------------------------------


def batch(first: int, urgent: bool = False) -> Sealed:
    return Sealed(first, b"", 1, 0, urgent)


def chosen(pending: list[Sealed], window: int = 8, **given: Any) -> list[int]:
    facts: dict[str, Any] = {"flying": {}, "skipped": (), "live_from": 1 << 63} | given
    return [each.batch.first_sequence for each in choose(pending, window=window, **facts)]


def test_alarms_go_before_live_batches_and_those_before_the_backlog() -> None:
    pending = [batch(1), batch(2, urgent=True), batch(3), batch(90), batch(91)]
    assert chosen(pending, live_from=90) == [2, 90, 91, 1, 3]


@pytest.mark.parametrize("window", [2, 3, 4, 8, 100])
def test_a_backlog_leaves_room_for_what_comes_and_live_batches_leave_room_for_a_backlog(window: int) -> None:
    backlog, live = [batch(each) for each in range(200)], [batch(each) for each in range(1000, 1200)]
    assert len(chosen(backlog, window)) == window - reserved(window) > 0
    both = chosen([*live, *backlog], window, live_from=1000)
    assert len(both) == window
    assert sum(each < 1000 for each in both) == reserved(window) > 0
    assert len(chosen(live, window, live_from=1000)) == window


def test_a_window_of_one_sends_everything_in_turn() -> None:
    assert chosen([batch(1), batch(90)], 1, live_from=90) == [90]
    assert chosen([batch(1)], 1, live_from=90) == [1]
    assert chosen([batch(1)], 1, flying={90: Purpose.LIVE}) == []


def test_what_is_in_flight_or_was_refused_is_not_chosen_and_counts() -> None:
    pending = [batch(each) for each in range(6)]
    assert chosen(pending, 4, flying={0: Purpose.BACKFILL}, skipped={1}) == [2, 3]


# --- live readings and a backlog ------------------------------------------------------------------


@pytest.mark.parametrize("order", ["oldest-first", "newest-first"])
def test_what_was_just_sealed_goes_ahead_of_any_backlog(
    spool: Spool, echo: Echo, eventually_async: Any, order: str
) -> None:
    fill(spool, [echo(number) for number in range(600)])
    spool.seal(NOW_MS)
    publisher = Gate()
    link = uplink(spool, publisher, replace(ON_REQUEST, order=order))

    async def work() -> None:
        running = asyncio.create_task(link.run())
        link.hurry()
        await eventually_async(lambda: len(publisher.asked) == 3)
        fill(spool, [echo(600)])
        link.hurry()
        await eventually_async(lambda: len(publisher.asked) == 4)
        assert publisher.asked[3] == 600, "before a single batch of the backlog was answered"
        publisher.let(1000)
        await eventually_async(lambda: spool.stats().held == 0)
        running.cancel()

    asyncio.run(work())


@pytest.mark.parametrize("order", ["oldest-first", "newest-first"])
def test_an_alarm_overtakes_live_readings_and_a_backlog(
    spool: Spool, echo: Echo, eventually_async: Any, order: str
) -> None:
    fill(spool, [echo(number) for number in range(300)])
    spool.seal(NOW_MS)
    fill(spool, [echo(number) for number in range(300, 310)])
    fill(spool, [alarm()])
    publisher = MemoryPublisher()
    link = uplink(spool, publisher, replace(ON_REQUEST, order=order))
    link.hurry()
    asyncio.run(run_until(link, lambda: spool.stats().held == 0, eventually_async))
    backlog = list(range(0, 300, 10))
    assert sequences(publisher) == [
        310,
        300,
        *(backlog if order == "oldest-first" else reversed(backlog)),
    ]


def test_what_waited_for_a_full_batch_during_an_outage_goes_when_it_ends(
    spool: Spool, echo: Echo, eventually_async: Any
) -> None:
    publisher = MemoryPublisher()
    publisher.is_up = False
    link = uplink(spool, publisher, ON_REQUEST)

    async def work() -> None:
        running = asyncio.create_task(link.run())
        fill(spool, [echo(0)])
        link.hurry()
        await eventually_async(lambda: link.counts().state == "unreachable")
        fill(spool, [alarm()])
        publisher.is_up = True
        await eventually_async(lambda: spool.stats().held == 0)  # the next regular sealing is an hour away
        running.cancel()

    asyncio.run(work())


def test_batches_are_noted_as_being_sent_before_they_are_published(spool: Spool, echo: Echo) -> None:
    events: list[str] = []

    class Noting(Spool):
        def sending(self, batches: Any) -> None:
            super().sending(batches)
            events.extend(f"sending {each.first_sequence}" for each in batches)

    class Told(MemoryPublisher):
        async def publish(self, topic: str, payload: bytes) -> None:
            events.append(f"publish {decode(payload).first_sequence}")
            await super().publish(topic, payload)

    noting = spool_in_memory(made=Noting)
    fill(noting, [echo(number) for number in range(20)])
    assert asyncio.run(uplink(noting, Told()).flush(5))
    assert {events.index("sending 0"), events.index("sending 10")} == {0, 1}
    assert sorted(events[2:]) == ["publish 0", "publish 10"]
    noting.close()


# --- the first connection -------------------------------------------------------------------------


def test_the_first_connection_waits_a_random_time_and_the_next_ones_do_not(
    spool: Spool, echo: Echo, eventually_async: Any
) -> None:
    fill(spool, [echo(0)])
    publisher = MemoryPublisher()
    link = uplink(spool, publisher, boot_delay_s=0.3)

    async def work() -> float:
        running = asyncio.create_task(link.run())
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        await eventually_async(lambda: publisher.received)
        waited_s = loop.time() - began_s
        publisher.is_connected = False
        fill(spool, [echo(1)])
        await eventually_async(lambda: len(publisher.received) == 2)
        running.cancel()
        return waited_s

    assert asyncio.run(work()) > 0.02, "with this seed the wait is 0.04 s"
    assert link.counts().connects == 2


def test_a_flush_does_not_wait_for_the_boot_delay(spool: Spool, echo: Echo) -> None:
    fill(spool, [echo(0)])
    assert asyncio.run(uplink(spool, MemoryPublisher(), boot_delay_s=3600).flush(5))
