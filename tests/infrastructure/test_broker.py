"""The broker refuses what AWS IoT Core would refuse under the deployed policy; with a real mosquitto."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from infrastructure.local.iot import broker, certificates
from infrastructure.local.iot.broker import BrokerError
from infrastructure.local.process import free_port
from tests.infrastructure.parts import PATIENCE_S, Broker, Gateway, Identity, state_folder

OWN = "$aws/rules/linkpulse_local_ingest/v1/{}/m"
TAKEN = ("Success", "No matching subscribers")
MakeGateway = Callable[[str], Identity]


@pytest.fixture
def rules_engine(running_broker: Broker) -> Identity:
    files = running_broker.files
    return Identity(files.bridge_name, files.bridge, files.bridge_key)


def connected(where: Broker, identity: Identity | None, client_id: str = "") -> Gateway:
    return Gateway(where.port, where.files.ca, identity, client_id)


def test_a_gateway_may_publish_to_its_own_topic(running_broker: Broker, gateway: MakeGateway) -> None:
    client = connected(running_broker, gateway("gw-1"))
    assert client.publish(OWN.format("gw-1"), b"x") in TAKEN
    client.close()


@pytest.mark.parametrize(
    "topic",
    [
        OWN.format("gw-2"),
        OWN.format("gw-1") + "/more",
        "$aws/rules/linkpulse_local_ingest/v1/gw-1/n",
        "$aws/rules/another/v1/gw-1/m",
        "v1/gw-1/m",
        "linkpulse/v1/gw-2/gone",
        "linkpulse/v1/gw-1/resend",
        "$SYS/broker/version",
    ],
)
def test_a_gateway_may_publish_to_no_other_topic(
    running_broker: Broker, gateway: MakeGateway, topic: str
) -> None:
    client = connected(running_broker, gateway("gw-1"))
    assert client.publish(topic, b"x") == "Not authorized"
    client.close()


def test_a_gateway_is_let_in(running_broker: Broker, gateway: MakeGateway) -> None:
    assert accepted(running_broker, gateway("gw-1"))


def test_a_client_without_a_certificate_is_refused(running_broker: Broker) -> None:
    assert not accepted(running_broker, None)


def test_a_certificate_of_a_foreign_ca_is_refused(running_broker: Broker, tmp_path: Path) -> None:
    other = certificates.write_broker_files(tmp_path, b"", datetime.datetime.now(datetime.UTC))
    assert not accepted(running_broker, Identity("gw-1", other.bridge, other.bridge_key))


def test_the_broker_s_own_certificate_is_refused_as_a_client_s(running_broker: Broker) -> None:
    files = running_broker.files
    assert not accepted(running_broker, Identity("localhost", files.server, files.server_key))


def test_another_client_id_than_the_certificate_s_name_gains_nothing(
    running_broker: Broker, gateway: MakeGateway
) -> None:
    client = connected(running_broker, gateway("gw-1"), client_id="gw-2")
    answers = [client.publish(OWN.format(name), b"x") for name in ("gw-1", "gw-2")]
    assert answers[0] in TAKEN
    assert answers[1] == "Not authorized"
    client.close()


def test_a_gateway_cannot_listen_to_what_others_publish(
    running_broker: Broker, gateway: MakeGateway, rules_engine: Identity
) -> None:
    heard: list[str] = []
    arrived = threading.Event()
    spy, engine = connected(running_broker, gateway("spy")), connected(running_broker, rules_engine)
    spy.client.on_message = lambda *given: heard.append(given[2].topic)
    engine.client.on_message = lambda *given: arrived.set()
    for each in (spy, engine):
        _subscribe(each, "$aws/rules/#")
    client = connected(running_broker, gateway("gw-1"))
    client.publish(OWN.format("gw-1"), b"x")
    assert arrived.wait(PATIENCE_S)
    # Delivery to the spy, were there any, was queued with the rules engine's: one answer later it is there.
    assert spy.publish(OWN.format("spy"), b"x") in TAKEN
    assert heard == []
    for each in (spy, engine, client):
        each.close()


def test_a_gateway_hears_the_requests_to_itself_and_to_no_other(
    running_broker: Broker, gateway: MakeGateway, rules_engine: Identity
) -> None:
    heard: list[str] = []
    arrived = threading.Event()
    cloud, client = connected(running_broker, rules_engine), connected(running_broker, gateway("gw-1"))

    def hear(*given: Any) -> None:
        heard.append(given[2].topic)
        if given[2].payload == b"last":
            arrived.set()

    client.client.on_message = hear
    _subscribe(client, "linkpulse/#")
    for name, payload in (("gw-2", b"x"), ("gw-1", b"x"), ("gw-2", b"x"), ("gw-1", b"last")):
        assert cloud.publish(f"linkpulse/v1/{name}/resend", payload) in TAKEN
    assert arrived.wait(PATIENCE_S)
    assert heard == ["linkpulse/v1/gw-1/resend"] * 2
    for each in (cloud, client):
        each.close()


def test_the_cloud_hears_which_gateway_is_gone(
    running_broker: Broker, gateway: MakeGateway, rules_engine: Identity
) -> None:
    arrived = threading.Event()
    cloud, client = connected(running_broker, rules_engine), connected(running_broker, gateway("gw-1"))
    cloud.client.on_message = lambda *given: arrived.set()
    _subscribe(cloud, "linkpulse/v1/+/gone")
    assert client.publish("linkpulse/v1/gw-1/gone", b"{}") in TAKEN
    assert arrived.wait(PATIENCE_S)
    for each in (cloud, client):
        each.close()


def test_a_name_that_is_a_wildcard_gains_nothing(running_broker: Broker, gateway: MakeGateway) -> None:
    client = connected(running_broker, gateway("+"))
    assert client.publish(OWN.format("gw-1"), b"x") == "Not authorized"
    client.close()


def test_it_listens_on_the_loopback_address_alone(running_broker: Broker) -> None:
    listening = [
        each.laddr.ip
        for each in psutil.net_connections("inet")
        if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == running_broker.port
    ]
    assert listening == ["127.0.0.1"]


def test_a_broker_that_cannot_start_says_why(running_broker: Broker, tmp_path: Path) -> None:
    state = state_folder(tmp_path)
    files = replace(running_broker.files, server=tmp_path / "missing.pem")
    port = free_port()
    child = broker.start(port, files, running_broker.policy, state)
    with pytest.raises(BrokerError, match=r"ended with exit code 1: .*missing\.pem"):
        broker.wait_ready(port, running_broker.files, child.failure)


def test_a_missing_mosquitto_is_one_line_that_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match=r"^mosquitto is not installed: apt-get install mosquitto [^\n]*$"):
        broker.executable(str(tmp_path))


def accepted(where: Broker, identity: Identity | None) -> bool:
    """Whether the broker answers an MQTT CONNECT; with TLS 1.3 a refusal shows only after the handshake."""
    context = ssl.create_default_context(cafile=str(where.files.ca))
    if identity:
        context.load_cert_chain(identity.certificate, identity.key)
    connect = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"
    with socket.create_connection(("127.0.0.1", where.port), PATIENCE_S) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="localhost") as secure:
                secure.sendall(connect)
                return secure.recv(1) == b"\x20"
        except OSError:
            return False


def _subscribe(gateway: Gateway, topic: str) -> None:
    done = threading.Event()
    gateway.client.on_subscribe = lambda *given: done.set()
    gateway.client.subscribe(topic, qos=1)
    assert done.wait(PATIENCE_S)
