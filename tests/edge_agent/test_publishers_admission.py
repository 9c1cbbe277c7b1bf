"""Which certificates and payloads a broker admits, and what a publisher says of a refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.publisher import Publisher, PublishError, PublishRefused
from tests.edge_agent.mqtt_rig import TOPIC, failure, mqtt, run


@pytest.fixture
def make_broker(authority: Any, broker: Any, tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    """Brokers with settings of their own."""
    made: list[Any] = []

    def make(settings: str) -> Any:
        folder = tmp_path / f"broker-{len(made)}"
        folder.mkdir()
        made.append(type(broker)(authority, folder, settings))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.kill()


# --- who is let in --------------------------------------------------------------------------------


def test_an_expired_certificate_is_refused_and_the_broker_is_named(kind: str, broker: Any) -> None:
    message = failure(mqtt(kind, broker, broker.authority.issue("gw-1", expired=True)))
    assert message.startswith(f"localhost:{broker.port}: ")
    assert kind == "awsiotsdk" or "certificate expired" in message
    assert kind == "paho" or "does not accept this certificate" in message


def test_a_revoked_certificate_is_refused_and_another_one_is_not(
    kind: str, authority: Any, make_broker: Any
) -> None:
    revoked, good = authority.issue("gw-7"), authority.issue("gw-1")
    broker = make_broker(f"crlfile {authority.revoke(revoked)}\n")
    message = failure(mqtt(kind, broker, revoked, client_id="gw-7"))
    assert kind == "awsiotsdk" or "certificate revoked" in message
    assert kind == "paho" or "does not accept this certificate" in message
    run(mqtt(kind, broker, good), lambda publisher: publisher.connect())


def test_a_certificate_that_is_revoked_meanwhile_ends_at_the_next_connection(
    kind: str, authority: Any, make_broker: Any
) -> None:
    identity = authority.issue("gw-1")
    broker = make_broker(f"crlfile {authority.revoke()}\n")

    async def work(publisher: Publisher) -> None:
        await publisher.connect()
        broker.kill()
        authority.revoke(identity)
        broker.start()
        with pytest.raises(PublishError):
            await publisher.publish(TOPIC, b"x")
        with pytest.raises(PublishError):
            await publisher.connect()

    run(mqtt(kind, broker, identity), work)


def test_the_second_of_one_name_takes_over_and_the_first_does_not_come_back_by_itself(
    kind: str, broker: Any, eventually_async: Any
) -> None:
    identity = broker.authority.issue("gw-1")

    async def work(first: Publisher) -> None:
        second = mqtt(kind, broker, identity)
        try:
            await first.connect()
            await second.connect()
            await eventually_async(lambda: not first.is_connected)
            with pytest.raises(PublishError, match="localhost"):
                await first.publish(TOPIC, b"first")
            await second.publish(TOPIC, b"second")
            assert second.is_connected
        finally:
            await second.close()

    run(mqtt(kind, broker, identity), work)
    assert broker.log.count(" as gw-1 ") == 2


# --- what is refused ------------------------------------------------------------------------------


def test_a_payload_that_is_too_large_for_the_broker_is_refused_and_the_smaller_ones_are_not(
    kind: str, make_broker: Any
) -> None:
    broker = make_broker("max_packet_size 2000\n")

    async def work(publisher: Publisher) -> None:
        await publisher.connect()
        small = asyncio.create_task(publisher.publish(TOPIC, b"small"))
        with pytest.raises(PublishRefused, match=r"(?i)too.large"):
            await publisher.publish(TOPIC, bytes(3000))
        await asyncio.gather(small, return_exceptions=True)
        assert not isinstance(small.exception(), PublishRefused)
        await publisher.connect()
        await publisher.publish(TOPIC, b"small")

    run(mqtt(kind, broker), work)
