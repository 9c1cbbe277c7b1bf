"""Real parts of the local cloud as the tests see them, and what they need to speak to them."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as mqtt
import psutil
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from paho.mqtt.enums import CallbackAPIVersion

from infrastructure.local.engine import Clients
from infrastructure.local.iot.certificates import BrokerFiles
from infrastructure.local.iot.policy import BrokerPolicy
from infrastructure.local.state import Connection, StateFolder, read_connection

PATIENCE_S = 30.0
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Engine:
    """A running engine."""

    url: str
    clients: Clients


@dataclass(frozen=True, slots=True)
class Broker:
    """A running broker with the rights of the real template's policy."""

    port: int
    files: BrokerFiles
    policy: BrokerPolicy


@dataclass(frozen=True, slots=True)
class Identity:
    """A gateway's files."""

    name: str
    certificate: Path
    key: Path
    certificate_id: str = ""


class NothingDeployed:
    """The place of a stack, for what refers to no resource."""

    def physical_id(self, logical_id: str) -> str:
        """No resource has one."""
        raise AssertionError(f"{logical_id} is not deployed")

    def attribute(self, logical_id: str, name: str) -> str:
        """No resource has one."""
        raise AssertionError(f"{logical_id}.{name} is not deployed")


def state_folder(path: Path) -> StateFolder:
    """A created state folder."""
    state = StateFolder(path)
    state.create()
    return state


def write_identity(folder: Path, name: str, pem: bytes, key: ec.EllipticCurvePrivateKey) -> Identity:
    """Write a gateway's certificate and key."""
    certificate, key_file = folder / f"{name}.pem", folder / f"{name}.key"
    certificate.write_bytes(pem)
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return Identity(
        name, certificate, key_file, x509.load_pem_x509_certificate(pem).fingerprint(hashes.SHA256()).hex()
    )


def enrol(clients: Clients, name: str, policy_name: str, folder: Path) -> Identity:
    """Enrol a gateway in an engine, as AWS IoT's registry would have it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    made = clients.iot.create_certificate_from_csr(
        certificateSigningRequest=request.public_bytes(serialization.Encoding.PEM).decode(), setAsActive=True
    )
    clients.iot.create_thing(thingName=name)
    clients.iot.attach_policy(policyName=policy_name, target=made["certificateArn"])
    clients.iot.attach_thing_principal(thingName=name, principal=made["certificateArn"])
    return write_identity(folder, name, made["certificatePem"].encode(), key)


class Gateway:
    """A gateway's MQTT 5 connection, which says what the broker answered to each message."""

    def __init__(self, port: int, ca: Path, identity: Identity | None, client_id: str = "") -> None:
        self._answers: dict[int, str] = {}
        self._changed = threading.Condition()
        self._codes: list[str] = []
        self.name = client_id or (identity.name if identity else "nobody")
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=self.name, protocol=mqtt.MQTTv5)
        context = ssl.create_default_context(cafile=str(ca))
        if identity:
            context.load_cert_chain(identity.certificate, identity.key)
        self.client.tls_set_context(context)
        self.client.on_connect = lambda *given: self._note(self._codes.append, str(given[3]))
        self.client.on_publish = lambda *given: self._note(
            lambda answer: self._answers.update({given[2]: answer}), str(given[3])
        )
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self._wait(lambda: bool(self._codes))

    def publish(self, topic: str, payload: bytes, qos: int = 1) -> str:
        """Publish and wait for the acknowledgement; its reason."""
        identifier = self.client.publish(topic, payload, qos).mid
        self._wait(lambda: identifier in self._answers)
        return self._answers[identifier]

    def close(self) -> None:
        """Leave."""
        self.client.disconnect()
        self.client.loop_stop()

    def _note(self, keep: Callable[[str], object], answer: str) -> None:
        with self._changed:
            keep(answer)
            self._changed.notify_all()

    def _wait(self, done: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(done, PATIENCE_S), "the broker does not answer"


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds that another thread or process brings about."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


@dataclass(frozen=True, slots=True)
class LocalCloud:
    """The command line of one local cloud."""

    state: StateFolder

    def run(
        self, *arguments: str, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run local-cloud with a command; the state folder is added."""
        command, *rest = arguments
        return subprocess.run(
            [sys.executable, "-m", "infrastructure.local", command, "--state", str(self.state.path), *rest],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "COLUMNS": "200", **(environment or {})},
            timeout=100,
            check=False,
        )

    @property
    def connection(self) -> Connection:
        """How the running cloud is reached."""
        found = read_connection(self.state)
        assert found is not None
        return found


def gone(pid: int) -> bool:
    """Whether a process has ended, reaped or not."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
