"""Every publisher keeps the port's promises: against a real broker, and the one in memory likewise."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from edge_agent.mqtt_memory import MemoryPublisher
from edge_agent.publisher import Publisher, PublishError, PublishRefused
from tests.edge_agent.mqtt_rig import FOREIGN, TOPIC, mqtt, run


@dataclass
class Rig:
    """A publisher of gateway gw-1, the broker behind it, and a look at what arrived there."""

    publisher: Publisher
    kill: Callable[[], None]
    restart: Callable[[], None]
    received: Callable[[int], list[tuple[str, bytes]]]


@pytest.fixture(params=["paho", "awsiotsdk", "memory"])
def rig(request: pytest.FixtureRequest) -> Rig:
    if request.param == "memory":
        memory = MemoryPublisher(allows=lambda topic: topic == TOPIC)
        return Rig(
            memory,
            lambda: setattr(memory, "is_up", False),
            lambda: setattr(memory, "is_up", True),
            lambda _count: memory.received,
        )
    broker = request.getfixturevalue("broker")
    observer = request.getfixturevalue("observer")
    return Rig(mqtt(request.param, broker), broker.kill, broker.start, observer.wait_for)


def test_publish_returns_after_the_broker_has_it(rig: Rig) -> None:
    async def work(publisher: Publisher) -> None:
        await publisher.connect()
        await publisher.publish(TOPIC, b"\x01\x00payload")

    run(rig.publisher, work)
    assert rig.received(1) == [(TOPIC, b"\x01\x00payload")]


def test_many_at_once_all_arrive_once(rig: Rig) -> None:
    payloads = [b"payload %d" % number for number in range(40)]

    async def work(publisher: Publisher) -> None:
        await publisher.connect()
        await asyncio.gather(*(publisher.publish(TOPIC, payload) for payload in payloads))

    run(rig.publisher, work)
    assert sorted(payload for _, payload in rig.received(40)) == sorted(payloads)


def test_a_forbidden_topic_is_refused_and_the_connection_lives_on(rig: Rig) -> None:
    async def work(publisher: Publisher) -> None:
        await publisher.connect()
        with pytest.raises(PublishRefused, match=r"(?i)not.authorized"):
            await publisher.publish(FOREIGN, b"not mine")
        await publisher.publish(TOPIC, b"mine")

    run(rig.publisher, work)
    assert rig.received(1) == [(TOPIC, b"mine")]


def test_connecting_twice_is_connecting_once(rig: Rig) -> None:
    async def work(publisher: Publisher) -> None:
        await publisher.connect()
        await publisher.connect()
        await publisher.publish(TOPIC, b"one")

    run(rig.publisher, work)
    assert rig.received(1) == [(TOPIC, b"one")]


def test_publishing_without_a_connection_fails(rig: Rig) -> None:
    async def work(publisher: Publisher) -> None:
        with pytest.raises(PublishError, match="not connected"):
            await publisher.publish(TOPIC, b"too early")

    run(rig.publisher, work)


def test_publishing_after_close_fails_and_close_may_be_repeated(rig: Rig) -> None:
    async def work(publisher: Publisher) -> None:
        await publisher.connect()
        await publisher.close()
        await publisher.close()
        with pytest.raises(PublishError):
            await publisher.publish(TOPIC, b"too late")

    run(rig.publisher, work)


def test_a_broker_that_crashes_fails_the_publish_and_takes_the_next_after_its_return(rig: Rig) -> None:
    async def work(publisher: Publisher) -> None:
        await publisher.connect()
        await publisher.publish(TOPIC, b"before")
        rig.kill()
        with pytest.raises(PublishError):
            await publisher.publish(TOPIC, b"meanwhile")
        with pytest.raises(PublishError):
            await publisher.connect()
        rig.restart()
        await publisher.connect()
        await publisher.publish(TOPIC, b"after")

    run(rig.publisher, work)
    assert (TOPIC, b"before") in rig.received(1)
