"""What the field does to connections: answers that never come, slow and cut ways, proxies, certificates."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.mqtt_memory import MemoryPublisher
from edge_agent.publisher import CLOSE_S, Publisher, PublishError, PublishRefused
from tests.edge_agent.mqtt_rig import GONE, MQTT, RESEND, TOPIC, WITHIN_S, failure, mqtt, run
from tests.edge_agent.netns import needs_netns, run_in_netns
from tests.edge_agent.relay import ConnectProxy, Relay, alpn_of


@pytest.fixture(params=list(MQTT))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def relay(broker: Any) -> Iterator[Relay]:
    relay = Relay(broker.port)
    yield relay
    relay.close()


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


# --- answers and ways -----------------------------------------------------------------------------


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
    async def work() -> float:
        publisher = mqtt(kind, broker, port=relay.port, timeout_s=60.0)
        relay.is_deaf = not is_connected
        connecting = asyncio.create_task(publisher.connect())
        if is_connected:
            await connecting
            broker.freeze()
        else:
            while not relay.began:
                await asyncio.sleep(0.01)
            connecting.cancel()
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        await publisher.close()
        return loop.time() - began_s

    assert asyncio.run(work()) <= CLOSE_S + 0.5
    eventually(lambda: not [each.name for each in threading.enumerate() if each.name.startswith("paho")])
    broker.thaw()


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


# --- ways out -------------------------------------------------------------------------------------


def test_on_port_443_the_protocol_that_aws_wants_is_asked_for(kind: str, broker: Any, relay: Relay) -> None:
    """Through a proxy, because nobody but root may listen on port 443."""
    proxy = ConnectProxy(broker.port)
    try:
        # mosquitto knows no ALPN and takes the connection, as any server that ignores it.
        run(
            mqtt(kind, broker, port=443, proxy=f"http://127.0.0.1:{proxy.port}"),
            lambda publisher: publisher.connect(),
        )
        assert alpn_of(proxy.began[0]) == ["x-amzn-mqtt-ca"]
        assert proxy.asked == ["CONNECT localhost:443 HTTP/1.1"]
    finally:
        proxy.close()


def test_on_another_port_no_protocol_is_asked_for(kind: str, broker: Any, relay: Relay) -> None:
    run(mqtt(kind, broker, port=relay.port), lambda publisher: publisher.connect())
    assert alpn_of(relay.began[0]) == []


def test_a_proxy_is_asked_for_the_broker_and_sees_nothing_else(kind: str, broker: Any, observer: Any) -> None:
    proxy = ConnectProxy(broker.port)

    async def work(publisher: Publisher) -> None:
        await publisher.connect()
        await publisher.publish(TOPIC, b"through the proxy")

    try:
        run(mqtt(kind, broker, proxy=f"http://localhost:{proxy.port}"), work)
        assert proxy.asked == [f"CONNECT localhost:{broker.port} HTTP/1.1"]
    finally:
        proxy.close()
    assert observer.wait_for(1) == [(TOPIC, b"through the proxy")]


def test_a_proxy_that_refuses_is_told(kind: str, broker: Any) -> None:
    proxy = ConnectProxy(broker.port, b"HTTP/1.1 403 Forbidden\r\n\r\n")
    try:
        message = failure(mqtt(kind, broker, proxy=f"http://localhost:{proxy.port}"))
    finally:
        proxy.close()
    assert message.startswith(f"localhost:{broker.port}: ")
    assert re.search(r"(?i)proxy", message)
    assert kind == "awsiotsdk" or "403 Forbidden" in message


def test_a_proxy_that_is_not_there_fails_the_connection(kind: str, broker: Any, closed_port: int) -> None:
    message = failure(mqtt(kind, broker, proxy=f"http://127.0.0.1:{closed_port}"))
    assert "refused" in message.lower()


# --- the last will, and commands ------------------------------------------------------------------


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
    assert WITHIN_S
