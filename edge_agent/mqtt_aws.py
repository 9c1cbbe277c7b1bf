"""The Publisher on the AWS IoT Device SDK (awscrt): MQTT 5 with AWS IoT Core's limits built in."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

from awscrt import http, io, mqtt5
from awscrt.exceptions import AwsCrtError
from awsiot import mqtt5_client_builder

from edge_agent.credentials import CredentialsError, tls_context
from edge_agent.mqtt_bridge import TOO_LARGE, Bridge, Commands
from edge_agent.mqtt_tls import proxy_address
from edge_agent.mqtt_traffic import MarkedSocket, TrafficMeter
from edge_agent.publisher import CLOSE_S, PublishError, Traffic

PING_TIMEOUT_MS = 20_000
LOOK_S = 0.05
"""How often the socket's counters are looked at while a connection is being made."""
FIRST_MARK_S, MARKS = 10_001, 20_000
"""Idle times that no other socket of the process has (7,200 s is the default);
Linux takes up to 32,767 s (tcp(7), TCP_KEEPIDLE)."""
NOBODY_THERE = ("AWS_IO_SOCKET_CONNECT", "AWS_IO_SOCKET_TIMEOUT", "AWS_IO_SOCKET_NO_ROUTE", "AWS_IO_DNS")
"""How the names of the SDK's errors begin when no connection came about."""
_marks = itertools.count()


class AwsPublisher:
    """MQTT 5 with mutual TLS; a new SDK client for each connection.

    The SDK would reconnect by itself and resend; each client is stopped when its connection ends
    instead, because the uplink owns the back-off and the spool what is sent again.
    """

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
        timeout_s: float = 35.0,
    ) -> None:
        """``timeout_s`` bounds the wait for a connection and for each PUBACK.

        The broker publishes ``will`` (topic, payload) when a connection ends without a word; what comes on
        ``command_topic`` goes to ``commands`` on the event loop. ``proxy`` is http://host:port.
        The time is longer than s2n takes to report a certificate that it does not trust: 10 to 30 s, at
        random, on purpose (github.com/aws/s2n-tls, "blinding").
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
        self._runtime: _Runtime | None = None
        self._connection: _Connection | None = None

    @property
    def is_connected(self) -> bool:
        """Whether the broker has accepted a connection and it has not been lost."""
        return self._connection is not None and self._connection.bridge.is_open

    async def connect(self) -> None:
        """Connect, at once when already connected; raises PublishError with the cause."""
        if self.is_connected:
            return
        await self._disconnect()
        try:
            tls_context(self._ca, self._certificate, self._key)  # the SDK does not say which file is wrong
        except CredentialsError as exc:
            raise PublishError(str(exc)) from exc
        try:
            self._runtime = self._runtime or _Runtime()
        except (AwsCrtError, RuntimeError) as exc:  # no free file, no free thread
            raise PublishError(f"{self._endpoint}:{self._port}: the SDK cannot begin: {exc}") from exc
        where = f"{self._endpoint}:{self._port}"
        connection = _Connection(where, self._proxy, self._meter, self._commands)
        self._connection = connection
        connection.start(self._client(connection, self._runtime))
        looking = asyncio.create_task(connection.look_on())
        try:
            await connection.bridge.until_open(self._timeout_s)
        finally:
            looking.cancel()

    async def publish(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 1 and wait for PUBACK; raises PublishRefused or PublishError."""
        if self._connection is None:
            raise PublishError(f"{self._endpoint}:{self._port}: not connected")
        await self._connection.publish(topic, payload, self._timeout_s)

    async def close(self) -> None:
        """Disconnect and end the SDK's threads."""
        await self._disconnect()
        if self._runtime is not None:
            runtime, self._runtime = self._runtime, None
            await runtime.close()

    def traffic(self) -> Traffic:
        """By the kernel's counters of the SDK's sockets; what nobody could look at is estimated."""
        if self._connection is not None:
            self._connection.look()
        return self._meter.total

    async def _disconnect(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()

    def _client(self, connection: _Connection, runtime: _Runtime) -> mqtt5.Client:
        try:
            return mqtt5_client_builder.mtls_from_path(
                endpoint=self._endpoint,
                port=self._port,
                cert_filepath=str(self._certificate),
                pri_key_filepath=str(self._key),
                ca_filepath=str(self._ca),
                client_id=self._client_id,
                client_bootstrap=runtime.bootstrap,
                socket_options=_socket_options(self._timeout_s, connection.socket.mark),
                http_proxy_options=http.HttpProxyOptions(*proxy_address(self._proxy))
                if self._proxy
                else None,
                will=_will(self._will),
                keep_alive_interval_sec=self._keepalive_s,
                ping_timeout_ms=min(PING_TIMEOUT_MS, self._keepalive_s * 500),
                connack_timeout_ms=int(self._timeout_s * 1000),
                session_behavior=mqtt5.ClientSessionBehaviorType.CLEAN,
                offline_queue_behavior=mqtt5.ClientOperationQueueBehaviorType.FAIL_ALL_ON_DISCONNECT,
                enable_metrics_collection=False,
                on_publish_received=connection.on_received,
                on_lifecycle_connection_success=connection.on_success,
                on_lifecycle_connection_failure=connection.on_failure,
                on_lifecycle_disconnection=connection.on_disconnection,
                on_lifecycle_stopped=connection.on_stopped,
            )
        except (AwsCrtError, ValueError, RuntimeError) as exc:
            files = f"{self._certificate}, {self._key}, {self._ca}"
            # Without its traceback, which would hold on to the SDK's threads.
            raise PublishError(f"TLS does not take one of {files}: {exc}") from exc.with_traceback(None)


def _socket_options(timeout_s: float, mark_s: int) -> io.SocketOptions:
    options = io.SocketOptions()
    options.connect_timeout_ms = int(timeout_s * 1000)
    # Never sent, since MQTT's own keep-alive comes long before; it tells the socket from all others.
    options.keep_alive = True
    options.keep_alive_timeout_secs = mark_s
    options.keep_alive_interval_secs = mark_s
    options.keep_alive_max_probes = 3
    return options


def _will(will: tuple[str, bytes] | None) -> mqtt5.PublishPacket | None:
    if will is None:
        return None
    return mqtt5.PublishPacket(topic=will[0], payload=will[1], qos=mqtt5.QoS.AT_LEAST_ONCE, retain=False)


class _Runtime:
    """The SDK's own threads: one event loop is plenty for one connection (its default is one a core)."""

    def __init__(self) -> None:
        group = io.EventLoopGroup(1)
        self.bootstrap = io.ClientBootstrap(group, io.DefaultHostResolver(group))
        self._ended = group.shutdown_event

    async def close(self) -> None:
        del self.bootstrap  # the SDK's threads end when its last reference goes
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S / 3):
                while not self._ended.is_set():
                    await asyncio.sleep(0.005)


class _Connection:
    """One SDK client from start to stop; the ``on_`` methods run on the SDK's thread."""

    def __init__(self, where: str, proxy: str, meter: TrafficMeter, commands: Commands) -> None:
        self.bridge = Bridge(where)
        self._way = f" (through the proxy {proxy})" if proxy else ""  # the SDK does not say who failed
        self.socket = MarkedSocket(FIRST_MARK_S + next(_marks) % MARKS, meter)
        self._meter = meter
        self._commands = commands
        self._began_s = time.monotonic()
        self._failed_late = False
        """Whether it failed after TCP had connected, and the SDK had closed the socket before it said so."""
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self._client: mqtt5.Client | None = None
        self._published = 0

    def start(self, client: mqtt5.Client) -> None:
        self._client = client
        client.start()

    async def look_on(self) -> None:
        """Look at the counters while the connection is being made: a failure closes the socket."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Look at the counters of the socket, while there is one."""
        self.socket.look()

    async def publish(self, topic: str, payload: bytes, timeout_s: float) -> None:
        self.bridge.require_open()
        assert self._client is not None
        self._published += 1
        key = self._published
        self._meter.published(topic, payload)
        packet = mqtt5.PublishPacket(topic=topic, payload=payload, qos=mqtt5.QoS.AT_LEAST_ONCE)
        try:
            answer = self._client.publish(packet)
        except (AwsCrtError, ValueError) as exc:
            raise PublishError(f"{topic}: {exc}") from exc
        answer.add_done_callback(lambda done: self._on_answer(key, done))
        await self.bridge.until_acknowledged(key, topic, len(payload), timeout_s)

    async def close(self) -> None:
        self.bridge.lost("closed")
        if self._client is None:
            return
        self.look()
        client, self._client = self._client, None
        client.stop(mqtt5.DisconnectPacket())  # with it: or the broker publishes the last will
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S / 2):
                await self._stopped.wait()
        if self._failed_late:
            self._meter.failed_late()
        if not self.socket.ended() and not self._failed_late:
            self._meter.unanswered(time.monotonic() - self._began_s)

    def on_success(self, _data: mqtt5.LifecycleConnectSuccessData) -> None:
        self._meter.connected()
        client = self._client
        if client is not None and self._commands.topic:
            wanted = mqtt5.Subscription(self._commands.topic, mqtt5.QoS.AT_LEAST_ONCE)
            client.subscribe(mqtt5.SubscribePacket([wanted]))
        self.bridge.opened()

    def on_received(self, data: mqtt5.PublishReceivedData) -> None:
        self._commands.take(self.bridge, bytes(data.publish_packet.payload or b""))

    def on_failure(self, data: mqtt5.LifecycleConnectFailureData) -> None:
        if data.connack_packet is not None:
            self._end(f"the broker refuses the connection: {_name(data.connack_packet.reason_code)}")
        else:
            self._failed_late = not getattr(data.exception, "name", "").startswith(NOBODY_THERE)
            self._end(describe(data.exception) + self._way)

    def on_disconnection(self, data: mqtt5.LifecycleDisconnectData) -> None:
        if data.disconnect_packet is not None:
            reason = data.disconnect_packet.reason_code
            self._end(f"connection lost: {_name(reason)}", int(reason))
        else:
            self._end(f"connection lost: {describe(data.exception)}")

    def on_stopped(self, _data: mqtt5.LifecycleStoppedData) -> None:
        with suppress(RuntimeError):  # the event loop has gone
            self._loop.call_soon_threadsafe(self._stopped.set)

    def _end(self, because: str, code: int = 0) -> None:
        self.bridge.lost(because, code)
        client = self._client
        if client is not None:
            client.stop()

    def _on_answer(self, key: int, answer: Future[mqtt5.PublishCompletionData]) -> None:
        exc = answer.exception()
        if getattr(exc, "name", "") == "AWS_ERROR_MQTT5_PACKET_VALIDATION":
            # The SDK knows the broker's limit from CONNACK and does not even send it.
            self.bridge.acknowledged(key, "Packet too large", TOO_LARGE)
            return
        if exc is not None:
            self.bridge.failed(key, str(exc))
            return
        reason = answer.result().puback.reason_code
        self.bridge.acknowledged(key, _name(reason) if reason >= 128 else "", int(reason))


def describe(exc: Exception) -> str:
    """The SDK's error in words that say what to look at."""
    name = getattr(exc, "name", "")
    if name == "AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE":
        return "TLS failed: the broker's certificate is not of this CA or not for this name"
    if name in ("AWS_IO_TLS_ERROR_READ_FAILURE", "AWS_IO_TLS_ERROR_ALERT_RECEIVED"):
        return "TLS failed: the broker does not accept this certificate"
    return str(exc)


def _name(reason: object) -> str:
    """A reason code in words, as MQTT 5 writes it."""
    return str(getattr(reason, "name", reason)).replace("_", " ").capitalize()
