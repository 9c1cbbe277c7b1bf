"""What the field does to connections: answers that never come, slow and cut ways, no way at all."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from edge_agent.publisher import CLOSE_S, Publisher, PublishError
from tests.edge_agent.mqtt_rig import TOPIC, WITHIN_S, mqtt, run
from tests.edge_agent.netns import needs_netns, run_in_netns
from tests.edge_agent.relay import Relay


@needs_netns
def test_a_machine_without_even_a_loopback_interface_is_one_that_is_offline(
    kind: str, authority: Any
) -> None:
    identity = authority.issue("gw-1")
    arguments = ("localhost", 8883, "gw-1", *map(str, (identity.ca, identity.certificate, identity.key)), 60)
    told = run_in_netns(f"""
        from pathlib import Path
        from edge_agent.publisher import PublishError
        from tests.edge_agent.mqtt_rig import MQTT
        ip("link", "set", "lo", "down")
        async def main():
            host, port, name, *files, keepalive_s = {arguments}
            publisher = MQTT["{kind}"](host, port, name, *map(Path, files), keepalive_s, timeout_s=1)
            for _ in range(2):
                try:
                    await publisher.connect()
                except PublishError as exc:
                    print(publisher.is_connected, exc)
            await publisher.close()
        asyncio.run(main())
    """)
    assert [line.partition(": ")[0] for line in told.splitlines()] == ["False localhost:8883"] * 2


def test_an_answer_that_never_comes_ends_the_connection_and_the_next_one_works(
    kind: str, broker: Any, relay: Relay, observer: Any
) -> None:
    async def work(publisher: Publisher) -> None:
        await publisher.connect()
        relay.is_deaf = True
        with pytest.raises(PublishError, match=r"no acknowledgement within 1 s"):
            await publisher.publish(TOPIC, b"arrived")
        assert not publisher.is_connected
        relay.is_deaf = False
        await publisher.connect()
        await publisher.publish(TOPIC, b"arrived")

    run(mqtt(kind, broker, port=relay.port, timeout_s=1.0), work)
    assert observer.wait_for(2) == [(TOPIC, b"arrived")] * 2


def test_a_way_that_is_cut_in_the_middle_of_a_publish_fails_it(kind: str, broker: Any, relay: Relay) -> None:
    async def work(publisher: Publisher) -> None:
        await publisher.connect()
        relay.is_deaf = True
        waiting = asyncio.create_task(publisher.publish(TOPIC, b"unanswered"))
        await asyncio.sleep(0.1)
        relay.cut()
        with pytest.raises(PublishError, match="localhost"):
            await waiting
        relay.is_deaf = False
        await publisher.connect()
        await publisher.publish(TOPIC, b"answered")

    run(mqtt(kind, broker, port=relay.port), work)


def test_a_way_that_is_cut_in_the_middle_of_the_handshake_fails_the_connection(
    kind: str, broker: Any, relay: Relay
) -> None:
    async def work(publisher: Publisher) -> None:
        relay.is_deaf = True
        waiting = asyncio.create_task(publisher.connect())
        while not relay.began:
            await asyncio.sleep(0.01)
        relay.cut()
        with pytest.raises(PublishError, match="localhost"):
            await waiting
        relay.is_deaf = False
        await publisher.connect()
        assert publisher.is_connected

    run(mqtt(kind, broker, port=relay.port), work)


def test_a_slow_way_is_slow_and_loses_nothing(kind: str, broker: Any, relay: Relay, observer: Any) -> None:
    payloads = [bytes([number]) * 500 for number in range(8)]

    async def work(publisher: Publisher) -> None:
        await publisher.connect()
        relay.is_slow = True
        await asyncio.gather(*(publisher.publish(TOPIC, payload) for payload in payloads))

    run(mqtt(kind, broker, port=relay.port), work)
    assert sorted(payload for _, payload in observer.wait_for(8)) == payloads


@pytest.mark.parametrize("is_connected", [True, False])
def test_a_silent_broker_does_not_hold_up_the_exit(
    kind: str, broker: Any, relay: Relay, is_connected: bool, eventually: Callable[..., None]
) -> None:
    async def work() -> None:
        publisher = mqtt(kind, broker, port=relay.port, timeout_s=10 * WITHIN_S)
        relay.is_deaf = not is_connected
        connecting = asyncio.create_task(publisher.connect())
        if is_connected:
            await connecting
            broker.freeze()
        else:
            while not relay.began:
                await asyncio.sleep(0.01)
            connecting.cancel()
        async with asyncio.timeout(4 * CLOSE_S):  # only a publisher that waits for the broker gets there
            await publisher.close()

    asyncio.run(work())
    eventually(lambda: not [each.name for each in threading.enumerate() if each.name.startswith("paho")])
    broker.thaw()
