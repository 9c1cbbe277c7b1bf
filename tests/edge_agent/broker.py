"""A real broker with mutual TLS, and who looks at what arrives there."""

from __future__ import annotations

import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.edge_agent.certificates import Authority

RULE = "demo_ingest"


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """mosquitto as the local cloud runs it: the certificate's name is the user, who may write one topic."""

    def __init__(self, authority: Authority, folder: Path, settings: str = "") -> None:
        """``settings`` are more lines of its configuration (mosquitto.conf(5))."""
        self.authority = authority
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        server = authority.issue("broker", server=True)
        acl = folder / "acl"
        acl.write_text(
            "user observer\ntopic read $aws/#\ntopic readwrite linkpulse/#\n\n"
            f"pattern write $aws/rules/{RULE}/v1/%u/m\n"
            "pattern write linkpulse/v1/%u/gone\npattern read linkpulse/v1/%u/resend\n"
        )
        (folder / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\n"
            "user root\n"
            f"cafile {server.ca}\ncertfile {server.certificate}\nkeyfile {server.key}\n"
            "require_certificate true\nuse_identity_as_username true\n"
            f"acl_file {acl}\n{settings}"
        )

    def start(self) -> None:
        """Start it and wait until it accepts connections."""
        with (self._folder / "log").open("ab") as out:
            self._process = subprocess.Popen(
                [_mosquitto(), "-c", str(self._folder / "mosquitto.conf")], stdout=out, stderr=out
            )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise RuntimeError(f"mosquitto did not start: {self.log}")

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def log(self) -> str:
        """What it has said so far."""
        return (self._folder / "log").read_text()

    def freeze(self) -> None:
        """Stop its work while the kernel keeps its connections: a half-open broker."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it work again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


def _mosquitto() -> str:
    found = shutil.which(
        "mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/sbin"
    )
    if found is None:
        pytest.skip("mosquitto is not installed")
    return found


class Observer:
    """A subscriber that keeps every payload of the gateways' topics."""

    def __init__(self, broker: Broker) -> None:
        self.received: list[tuple[str, bytes]] = []
        self._arrived = threading.Condition()
        identity = broker.authority.issue("observer")
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "observer", protocol=mqtt.MQTTv5)
        context = ssl.create_default_context(cafile=identity.ca)
        context.load_cert_chain(identity.certificate, identity.key)
        self._client.tls_set_context(context)
        subscribed = threading.Event()
        self._client.on_message = self._keep
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect("localhost", broker.port)
        self._client.subscribe([("$aws/rules/#", 1), ("linkpulse/v1/+/gone", 1)])
        self._client.loop_start()
        assert subscribed.wait(60), "the observer could not subscribe"

    def _keep(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        with self._arrived:
            self.received.append((message.topic, bytes(message.payload)))
            self._arrived.notify_all()

    def send(self, topic: str, payload: bytes) -> None:
        """Publish as the cloud does."""
        self._client.publish(topic, payload, qos=1).wait_for_publish(60)

    def wait_for(self, count: int) -> list[tuple[str, bytes]]:
        """The messages so far, once there are ``count`` of them."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.received) >= count, 60), self.received
            return list(self.received)

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()
