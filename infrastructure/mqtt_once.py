"""One MQTT 5 publication with a gateway's certificate, and what the broker says to it; on paho-mqtt."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion


class RefusedError(Exception):
    """The broker cannot be reached, or refused the connection or the message; one line."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who connects, and what it trusts."""

    client_id: str
    ca: Path
    certificate: Path
    key: Path


@dataclass(slots=True)
class _Answer:
    """A reason code (MQTT 5, section 2.4) that another thread waits for."""

    arrived: threading.Event = field(default_factory=threading.Event)
    reason: Any = None

    def give(self, reason: Any) -> None:
        if not self.arrived.is_set():
            self.reason = reason
            self.arrived.set()

    def wait(self, timeout_s: float, what: str) -> None:
        if not self.arrived.wait(timeout_s):
            raise RefusedError(f"no answer to {what} within {timeout_s:.0f} s")
        if self.reason.is_failure:
            raise RefusedError(f"{what} refused: {self.reason}")


class Session:
    """An open connection; see connected."""

    def __init__(self, client: Client, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._answers: dict[int, _Answer] = {}
        self._lock = threading.Lock()
        client.on_publish = lambda _client, _data, mid, reason, _properties: self._answer(mid).give(reason)

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 1; returns on a PUBACK that accepts, raises RefusedError on one that does not."""
        sent: MQTTMessageInfo = self._client.publish(topic, payload, qos=1)
        if sent.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise RefusedError(f"not sent: {sent.rc.name}")
        self._answer(sent.mid).wait(self._timeout_s, "the message")

    def _answer(self, mid: int) -> _Answer:
        # The PUBACK may be here before publish() has returned its id.
        with self._lock:
            return self._answers.setdefault(mid, _Answer())


@contextmanager
def connected(endpoint: str, port: int, who: Credentials, timeout_s: float = 10.0) -> Iterator[Session]:
    """Connect with MQTT 5 over mutual TLS for the length of the block; raises RefusedError."""
    client = Client(CallbackAPIVersion.VERSION2, who.client_id, protocol=MQTTProtocolVersion.MQTTv5)
    answer = _Answer()
    client.on_connect = lambda _client, _data, _flags, reason, _properties: answer.give(reason)
    client.on_disconnect = lambda _client, _data, _flags, reason, _properties: answer.give(reason)
    client.connect_timeout = timeout_s
    session = Session(client, timeout_s)
    try:
        client.tls_set(str(who.ca), str(who.certificate), str(who.key), tls_version=ssl.PROTOCOL_TLS_CLIENT)
        client.connect(endpoint, port, keepalive=60)
    except (OSError, ValueError) as exc:
        raise RefusedError(f"{endpoint}:{port}: {exc}") from exc
    client.loop_start()
    try:
        answer.wait(timeout_s, "the connection")
        yield session
    finally:
        client.disconnect()
        client.loop_stop()
