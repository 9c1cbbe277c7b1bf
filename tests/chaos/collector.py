"""What arrives at the real broker, kept in a table."""

from __future__ import annotations

import ssl
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.chaos.table import Table
from tests.edge_agent.broker import Broker
from tests.edge_agent.certificates import Identity

WITHIN_S = 20.0


class Collector:
    """A subscriber with QoS 0: the broker hands over at once, before it acknowledges to the agent."""

    def __init__(self, broker: Broker, identity: Identity, table: Table) -> None:
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "observer", protocol=mqtt.MQTTv5)
        context = ssl.create_default_context(cafile=identity.ca)
        context.load_cert_chain(identity.certificate, identity.key)
        self._client.tls_set_context(context)
        subscribed = threading.Event()
        self._client.on_message = lambda _client, _data, message: table.deliver(bytes(message.payload))
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect("localhost", broker.port)
        self._client.subscribe("$aws/rules/#", qos=0)
        self._client.loop_start()
        if not subscribed.wait(WITHIN_S):
            raise RuntimeError("the collector could not subscribe")

    def close(self) -> None:
        """Leave, after all that had arrived is in the table."""
        self._client.disconnect()
        self._client.loop_stop()
