"""Ways out: ports and protocols, and proxies."""

from __future__ import annotations

import re
from typing import Any

from edge_agent.publisher import Publisher
from tests.edge_agent.mqtt_rig import TOPIC, failure, mqtt, run
from tests.edge_agent.relay import ConnectProxy, Relay, alpn_of


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
