"""The Publisher on paho-mqtt: any broker, and pure Python, so that it runs on every gateway."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, LogLevel, MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_agent.credentials import CredentialsError, tls_context_of
from edge_agent.mqtt_bridge import Bridge, Commands
from edge_agent.mqtt_tls import AWS_ALPN, BrokerContext, proxy_address
from edge_agent.mqtt_traffic import TrafficMeter
from edge_agent.publisher import CLOSE_S, PublishError, Traffic


class PahoPublisher:
    """MQTT 5 with mutual TLS; a new paho client for each connection, so none resends what the spool holds."""

    def __init__(
        self,
        endpoint: str,
        port: int,
        client_id: str,
        ca: Path,
        certificate: Path,
        key: Path,
        keepalive_s: int,
        *,
        will: tuple[str, bytes] | None = None,
        command_topic: str = "",
        commands: Callable[[bytes], None] | None = None,
        proxy: str = "",
        timeout_s: float = 20.0,
    ) -> None:
        """``timeout_s`` bounds the wait for a connection and for each PUBACK.

        The broker publishes ``will`` (topic, payload) when a connection ends without a word; what comes on
        ``command_topic`` goes to ``commands`` on the event loop. ``proxy`` is http://host:port.
        """
        self._endpoint = endpoint
        self._port = port
        self._client_id = client_id
        self._ca, self._certificate, self._key = ca, certificate, key
        self._keepalive_s = keepalive_s
        self._timeout_s = timeout_s
        self._will = will
        self._commands = Commands(command_topic, commands)
        self._proxy = proxy
        self._meter = TrafficMeter()
        self._connection: _Connection | None = None

    @property
    def is_connected(self) -> bool:
        """Whether the broker has accepted a connection and it has not been lost."""
        return self._connection is not None and self._connection.bridge.is_open

    async def connect(self) -> None:
        """Connect, at once when already connected; raises PublishError with the cause."""
        if self.is_connected:
            return
        if self._connection is not None:
            await self.close()
            # paho closes a client's wake-up sockets only when the client is collected, and an agent that
            # is offline for days makes so little garbage that they would pile up.
            gc.collect()
        context = self._tls()
        bridge = Bridge(f"{self._endpoint}:{self._port}")
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, self._client_id, protocol=mqtt.MQTTv5, reconnect_on_failure=False
        )
        client.tls_set_context(context)
        client.max_inflight_messages_set(0)  # the uplink has its own window; paho's would only delay
        client.connect_timeout = self._timeout_s
        if self._will is not None:
            client.will_set(*self._will, qos=1, retain=False)
        self._connection = _Connection(client, bridge, context, self._commands)
        host, port = (context.through and proxy_address(self._proxy)) or (self._endpoint, self._port)
        client.connect_async(host, port, self._keepalive_s)
        # paho's own pair goes over 127.0.0.1, and waits there for ever where the loopback interface is down.
        mqtt._socketpair_compat = _socket_pair
        try:
            client.loop_start()
        except (OSError, RuntimeError) as exc:  # no free file, no free thread
            self._connection = None
            raise PublishError(f"{self._endpoint}:{self._port}: paho cannot begin: {_describe(exc)}") from exc
        await bridge.until_open(self._timeout_s)

    async def publish(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 1 and wait for PUBACK; raises PublishRefused or PublishError."""
        if self._connection is None:
            raise PublishError(f"{self._endpoint}:{self._port}: not connected")
        await self._connection.publish(topic, payload, self._timeout_s)

    async def close(self) -> None:
        """Disconnect and end paho's thread."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    def traffic(self) -> Traffic:
        """By the kernel's counters of the sockets; what no socket was made for is estimated."""
        current = self._connection and self._connection.context.current
        if current and current.fileno() >= 0:
            self._meter.look(current)
        return self._meter.total

    def _tls(self) -> BrokerContext:
        try:
            context = tls_context_of(BrokerContext, self._ca, self._certificate, self._key)
        except CredentialsError as exc:
            raise PublishError(str(exc)) from exc
        context.meter = self._meter
        if self._proxy:
            context.through = (self._endpoint, self._port)
        if self._port == 443:
            context.set_alpn_protocols([AWS_ALPN])
        return context


class _Connection:
    """One paho client from connect to disconnect; the callbacks run on paho's thread."""

    def __init__(
        self, client: mqtt.Client, bridge: Bridge, context: BrokerContext, commands: Commands
    ) -> None:
        self.bridge = bridge
        self.context = context
        self._client = client
        self._commands = commands
        self._began_s = time.monotonic()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._last_error = ""
        client.on_pre_connect = self._on_pre_connect
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_log = self._on_log

    async def publish(self, topic: str, payload: bytes, timeout_s: float) -> None:
        self.bridge.require_open()
        self.context.meter.published(topic, payload)
        info = self._client.publish(topic, payload, qos=1)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self.bridge.lost(mqtt.error_string(info.rc))
        await self.bridge.until_acknowledged(info.mid, topic, len(payload), timeout_s)

    async def close(self) -> None:
        self._closed = True
        was_open = self.bridge.is_open
        self.bridge.lost("closed")
        self._client.disconnect()
        # Looked at rather than joined: a thread that is stuck in a name lookup must not hold up the exit.
        if not (was_open and await self._ended(CLOSE_S / 2)):
            if self.context.current is not None:
                self.context.current.abort()
            await self._ended(CLOSE_S / 4)

    async def _ended(self, within_s: float) -> bool:
        """Whether paho's thread ends in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._thread is None or self._thread.is_alive():
                    await asyncio.sleep(0.005)
                return True
        return False

    def _on_pre_connect(self, _client: mqtt.Client, _data: Any) -> None:
        self._thread = threading.current_thread()

    def _on_connect(
        self, client: mqtt.Client, _data: Any, _flags: mqtt.ConnectFlags, reason: ReasonCode, _: object
    ) -> None:
        if self._closed:
            client.disconnect()
        elif reason.is_failure:
            self.bridge.lost(f"the broker refuses the connection: {reason}")
        else:
            self.context.meter.connected()
            if self._commands.topic:
                client.subscribe(self._commands.topic, qos=1)
            self.bridge.opened()

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        self._commands.take(self.bridge, bytes(message.payload))

    def _on_connect_fail(self, client: mqtt.Client, _data: Any) -> None:
        # paho does not hand over the cause, but it calls this while it handles the exception.
        cause = sys.exc_info()[1]
        if self.context.current is None:
            self.context.meter.unanswered(time.monotonic() - self._began_s)
        self.bridge.lost(_describe(cause) if cause else "cannot connect")
        client.disconnect()  # or its thread tries again, and the back-off is the uplink's

    def _on_disconnect(
        self,
        _client: mqtt.Client,
        _data: Any,
        _flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self.bridge.lost(self._last_error or f"connection lost: {reason}", reason.value)

    def _on_publish(
        self, _client: mqtt.Client, _data: Any, mid: int, reason: ReasonCode, _properties: Properties
    ) -> None:
        self.bridge.acknowledged(mid, str(reason) if reason.is_failure else "", reason.value)

    def _on_log(self, _client: mqtt.Client, _data: Any, level: int, message: str) -> None:
        # The only place where paho says why TLS ended a connection, as with a certificate refused.
        if level == LogLevel.MQTT_LOG_ERR and "socket: " in message:
            self._last_error = message.partition("socket: ")[2]


def _socket_pair() -> tuple[socket.socket, socket.socket]:
    """By which paho wakes its thread."""
    pair = socket.socketpair()
    for each in pair:
        each.setblocking(False)
    return pair


def _describe(cause: BaseException) -> str:
    match cause:
        case ssl.SSLCertVerificationError():
            return f"the broker's certificate is not trusted: {cause.verify_message}"
        case ssl.SSLError():
            return f"TLS: {cause.reason or cause}"
        case TimeoutError():
            return "no answer"
        case OSError():
            return cause.strerror or str(cause)
    return str(cause)
