"""The rules engine: evaluates the deployed rule on what gateways publish, acknowledges what it delivers."""

from __future__ import annotations

import logging
import queue
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import paho.mqtt.client as mqtt
from botocore.exceptions import BotoCoreError, ClientError
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from infrastructure.local.engine import Clients
from infrastructure.local.iot import topic_rule
from infrastructure.local.iot.broker import MAX_UNACKED
from infrastructure.local.iot.certificates import BrokerFiles
from infrastructure.local.iot.delivery import MAX_BYTES, MAX_RECORDS, Delivery, Entry, Stopped
from infrastructure.local.iot.policy import BrokerPolicy
from infrastructure.local.iot.principals import Principals
from infrastructure.local.iot.rule import Publication
from infrastructure.local.state import Counters
from infrastructure.local.worker import Worker

log = logging.getLogger(__name__)

COLLECT_S = 0.05
"""How long a record may wait for others to share its call."""
PUBLISH_S = 5.0
REREAD_S = 2.0
"""How often the deployed rule is read again."""


class BridgeError(Exception):
    """The rules engine could not begin."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the messages come from."""

    port: int
    files: BrokerFiles
    rule: str
    policy_name: str
    policy: BrokerPolicy


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message as the broker handed it over."""

    topic: str
    payload: bytes
    at_ms: int
    identifier: int
    qos: int
    connection: int
    """Which connection it came over: an identifier means nothing on the next one."""


class Bridge:
    """Subscribes to the rule's topics; acknowledges a message once its record is on the stream."""

    def __init__(
        self, clients: Clients, source: Source, counters: Counters, wall_ms: Callable[[], int]
    ) -> None:
        self._clients = clients
        self._source = source
        self._counters = counters
        self._wall_ms = wall_ms
        self._stopping = threading.Event()
        self._subscribed = threading.Event()
        self._connection = 0
        # The broker stops at MAX_UNACKED; what comes at QoS 0 waits in the socket.
        self._arrivals: queue.Queue[Arrival] = queue.Queue(2 * MAX_UNACKED)
        self._delivery = Delivery(clients.kinesis, clients.s3, counters, self._stopping)
        self._principals = Principals(clients.iot, source.policy_name, time.monotonic)
        self._unknown: set[str] = set()
        self._client = self._mqtt_client()
        self._worker = Worker("bridge", self._run)

    def start(self, timeout_s: float = 10.0) -> None:
        """Connect, subscribe and begin; raises BridgeError or RuleError."""
        self._rule = topic_rule.read(self._clients.iot, self._source.rule)
        try:
            self._client.connect("127.0.0.1", self._source.port, keepalive=30)
        except OSError as exc:
            raise BridgeError(f"the broker does not take the connection: {exc}") from exc
        self._client.loop_start()
        if not self._subscribed.wait(timeout_s):
            raise BridgeError("the broker did not confirm the subscription")
        self._worker.start()

    def stop(self) -> None:
        """Deliver what is in hand, then leave; what is not acknowledged stays with the broker."""
        self._stopping.set()
        self._worker.join(10.0)
        self._client.disconnect()
        self._client.loop_stop()

    def failure(self) -> str:
        """Why it works no longer; empty while it does."""
        return self._worker.failure()

    def detail(self) -> str:
        """What the operator should know while it works."""
        return "" if self._client.is_connected() else "not connected to the broker, trying again"

    def publish(self, topic: str, payload: bytes, qos: int) -> None:
        """Publish as the cloud does; raises OSError when the broker has not taken it within PUBLISH_S."""
        sent = self._client.publish(topic, payload, qos)
        try:
            sent.wait_for_publish(PUBLISH_S)
        except (RuntimeError, ValueError) as exc:
            raise OSError(f"the broker cannot be reached: {exc}") from exc
        if not sent.is_published():
            raise OSError("the broker has not taken the message")

    # --- the broker's side: the thread of paho ----------------------------------------------------

    def _mqtt_client(self) -> mqtt.Client:
        files = self._source.files
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=files.bridge_name,
            # The broker keeps messages for us while we are away.
            clean_session=False,
            manual_ack=True,
        )
        context = ssl.create_default_context(cafile=str(files.ca))
        context.load_cert_chain(files.bridge, files.bridge_key)
        client.tls_set_context(context)
        client.reconnect_delay_set(min_delay=1, max_delay=5)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        return client

    def _on_connect(self, client: mqtt.Client, _: Any, __: Any, reason: ReasonCode, ___: Any) -> None:
        if reason.is_failure:
            log.warning("the broker refuses the rules engine: %s", reason)
            return
        self._connection += 1
        client.subscribe(f"$aws/rules/{self._source.rule}/#", qos=1)

    def _on_subscribe(self, _: mqtt.Client, __: Any, ___: int, codes: list[ReasonCode], ____: Any) -> None:
        if not any(code.is_failure for code in codes):
            self._subscribed.set()

    def _on_message(self, _: mqtt.Client, __: Any, message: mqtt.MQTTMessage) -> None:
        arrival = Arrival(
            message.topic, bytes(message.payload), self._wall_ms(), message.mid, message.qos, self._connection
        )
        while not self._stopping.is_set():
            with suppress(queue.Full):
                self._arrivals.put(arrival, timeout=0.5)
                self._counters.add("bridge.received")
                return

    # --- the stream's side: our own thread --------------------------------------------------------

    def _run(self) -> None:
        reread_s = time.monotonic() + REREAD_S
        while not self._stopping.is_set():
            arrivals = self._collect()
            if time.monotonic() >= reread_s:
                self._reread()
                reread_s = time.monotonic() + REREAD_S
            try:
                if arrivals:
                    self._deliver(arrivals)
            except Stopped:
                return

    def _collect(self) -> list[Arrival]:
        """Some messages, as many as one call takes or as come within COLLECT_S of the first."""
        try:
            arrivals = [self._arrivals.get(timeout=0.2)]
        except queue.Empty:
            return []
        until_s = time.monotonic() + COLLECT_S
        # A record is its payload in Base64 and some hundred bytes more.
        size = 2 * len(arrivals[0].payload)
        while len(arrivals) < MAX_RECORDS and size < MAX_BYTES // 2:
            try:
                arrival = self._arrivals.get(timeout=max(0.0, until_s - time.monotonic()))
            except queue.Empty:
                break
            arrivals.append(arrival)
            size += 2 * len(arrival.payload)
        return arrivals

    def _reread(self) -> None:
        try:
            self._rule = topic_rule.read(self._clients.iot, self._source.rule)
        except (BotoCoreError, ClientError) as exc:
            if isinstance(exc, ClientError) and exc.response["Error"]["Code"] in topic_rule.GONE:
                self._rule = replace(self._rule, disabled=True)
            else:
                log.debug("the rule cannot be read, going on with what it was: %s", exc)

    def _deliver(self, arrivals: Sequence[Arrival]) -> None:
        if self._rule.disabled:
            # As AWS does: acknowledged, counted as RuleNotFound, gone.
            self._counters.add("bridge.rule_not_found", len(arrivals))
        else:
            publications = [found for each in arrivals if (found := self._publication(each))]
            key, statement = self._rule.partition_key, self._rule.statement
            entries = [Entry(each, key.render(each), statement.evaluate(each)) for each in publications]
            self._delivery.deliver(self._rule, entries)
        for arrival in arrivals:
            if arrival.connection == self._connection:
                self._client.ack(arrival.identifier, arrival.qos)

    def _publication(self, arrival: Arrival) -> Publication | None:
        """The message as the rule sees it; None (and counted) when AWS would not have let it come so far."""
        topic = arrival.topic.removeprefix(self._rule.prefix)
        thing = self._source.policy.publisher(arrival.topic)
        if thing is None or not self._rule.statement.matches(topic):
            self._refuse(arrival.topic, "its topic is not one that the policy and the rule know")
            return None
        certificate = self._certificate(thing)
        if certificate is None:
            self._refuse(arrival.topic, f"{thing} has no active certificate with the policy")
            return None
        return Publication(topic, arrival.payload, thing, certificate, arrival.at_ms)

    def _certificate(self, thing: str) -> str | None:
        while True:
            try:
                return self._principals.certificate(thing)
            except (BotoCoreError, ClientError) as exc:
                log.warning("the engine cannot be asked about %s, trying again: %s", thing, exc)
            if self._stopping.wait(0.5):
                raise Stopped

    def _refuse(self, topic: str, reason: str) -> None:
        self._counters.add("bridge.refused")
        if topic not in self._unknown and len(self._unknown) < 1_000:
            self._unknown.add(topic)
            log.warning("refused a message on %s: %s (said once)", topic, reason)
