"""The last will, and commands from the cloud."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from edge_agent.mqtt_memory import MemoryPublisher
from edge_agent.publisher import Publisher
from tests.edge_agent.mqtt_rig import GONE, RESEND, TOPIC, mqtt, run
from tests.edge_agent.relay import Relay


def test_the_last_will_is_published_when_the_connection_ends_without_a_word(
    kind: str, broker: Any, relay: Relay, observer: Any
) -> None:
    async def work(publisher: Publisher) -> None:
        await publisher.connect()
        relay.cut()

    run(mqtt(kind, broker, port=relay.port, will=(GONE, b"{}")), work)
    assert observer.wait_for(1) == [(GONE, b"{}")]


def test_the_last_will_is_not_published_on_a_clean_close(kind: str, broker: Any, observer: Any) -> None:
    identity = broker.authority.issue("gw-1")
    for payload in (b"one", b"two"):

        async def work(publisher: Publisher, payload: bytes = payload) -> None:
            await publisher.connect()
            await publisher.publish(TOPIC, payload)

        run(mqtt(kind, broker, identity, will=(GONE, b"{}")), work)
    assert observer.wait_for(2) == [(TOPIC, b"one"), (TOPIC, b"two")]


def test_a_command_on_the_own_topic_is_handed_over_on_the_event_loop(
    kind: str, broker: Any, observer: Any, eventually_async: Any
) -> None:
    heard: list[tuple[bytes, bool]] = []

    def take(payload: bytes) -> None:
        heard.append((payload, asyncio.get_running_loop().is_running()))

    async def work(publisher: Publisher) -> None:
        for _ in range(2):
            await publisher.connect()
            await publisher.publish(TOPIC, b"subscribed before this")
            await asyncio.to_thread(observer.send, RESEND, b"again")
            await eventually_async(lambda: heard)
            assert heard == [(b"again", True)]
            heard.clear()
            await publisher.close()

    run(mqtt(kind, broker, commands=take, command_topic=RESEND), work)


def test_a_command_that_is_too_long_is_ignored_and_told_once(
    kind: str, broker: Any, observer: Any, eventually_async: Any, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[bytes] = []

    async def work(publisher: Publisher) -> None:
        await publisher.connect()
        await publisher.publish(TOPIC, b"subscribed before this")
        for payload in (bytes(2000), bytes(3000), b"short"):
            await asyncio.to_thread(observer.send, RESEND, payload)
        await eventually_async(lambda: heard)

    run(mqtt(kind, broker, commands=heard.append, command_topic=RESEND), work)
    assert heard == [b"short"]
    assert len([each for each in caplog.records if "is ignored" in each.message]) == 1


def test_the_broker_in_memory_keeps_a_last_will_and_hands_commands_over_likewise() -> None:
    heard: list[bytes] = []
    publisher = MemoryPublisher(will=(GONE, b"{}"), commands=heard.append)

    async def work(publisher: MemoryPublisher) -> None:
        await publisher.connect()
        publisher.command(b"again")
        publisher.command(bytes(2000))
        publisher.is_connected = False
        await publisher.connect()

    run(publisher, work)
    assert heard == [b"again"]
    assert publisher.wills == [(GONE, b"{}")]
