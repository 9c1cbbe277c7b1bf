"""A real broker with mutual TLS, and the small parts that several tests build on."""

from __future__ import annotations

import asyncio
import datetime
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.contract import KINDS, Flag, Reading
from tests.edge_agent.running import Running, Start

RULE = "demo_ingest"
_CA_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True)
class Identity:
    """A certificate, its key and the CA it trusts, as files."""

    ca: Path
    certificate: Path
    key: Path


class Authority:
    """A certificate authority in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Test CA {folder.name}")])
        self.ca = folder / "ca.pem"
        builder = self._builder(self._name, self._key)
        for extension in (x509.BasicConstraints(ca=True, path_length=0), _CA_USAGE):
            builder = builder.add_extension(extension, critical=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        self.ca.write_bytes(self._pem(builder.add_extension(identifier, critical=False)))

    def issue(self, name: str, server: bool = False, expired: bool = False) -> Identity:
        """A certificate with the common name, for the broker with this machine's names in it."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = self._builder(subject, key, expired)
        for extension in (x509.ExtendedKeyUsage([usage]), issuer):
            builder = builder.add_extension(extension, critical=False)
        if server:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False
            )
        certificate, private = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        certificate.write_bytes(self._pem(builder))
        private.touch(mode=0o600)
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return Identity(self.ca, certificate, private)

    def revoke(self, *revoked: Identity) -> Path:
        """The list of revoked certificates, with these in it."""
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._name)
        builder = builder.last_update(now).next_update(now + datetime.timedelta(days=1))
        for each in revoked:
            number = x509.load_pem_x509_certificate(each.certificate.read_bytes()).serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(now).build()
            builder = builder.add_revoked_certificate(entry)
        path = self.folder / "revoked.crl"
        signed = builder.sign(self._key, hashes.SHA256())
        path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        return path

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, expired: bool = False
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=3 if expired else 0)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=2))
        )

    def _pem(self, builder: x509.CertificateBuilder) -> bytes:
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


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
        deadline = time.monotonic() + 10
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
        assert subscribed.wait(10), "the observer could not subscribe"

    def _keep(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        with self._arrived:
            self.received.append((message.topic, message.payload))
            self._arrived.notify_all()

    def send(self, topic: str, payload: bytes) -> None:
        """Publish as the cloud does."""
        self._client.publish(topic, payload, qos=1).wait_for_publish(15)

    def wait_for(self, count: int) -> list[tuple[str, bytes]]:
        """The messages so far, once there are ``count`` of them."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.received) >= count, 15), self.received
            return list(self.received)

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The CA of the broker and of its gateways."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def broker(authority: Authority, tmp_path: Path) -> Iterator[Broker]:
    """A running broker of this test alone."""
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Broker(authority, folder)
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def observer(broker: Broker) -> Iterator[Observer]:
    """What arrives at the broker."""
    observer = Observer(broker)
    yield observer
    observer.close()


@pytest.fixture
def closed_port() -> int:
    """A TCP port of 127.0.0.1 that refuses connections."""
    return free_port()


@pytest.fixture
def echo() -> Callable[..., Reading]:
    """A maker of distinct, plausible echo readings by number."""

    def make(number: int, link: str = "north", at_ms: int | None = None) -> Reading:
        values = (
            5,
            5,
            0,
            0,
            0,
            0,
            *(1000 + (number * 7919 + column * 104_729) % 9000 for column in range(7)),
            0,
            64,
        )
        assert len(values) == len(KINDS["echo"].columns)
        at = 1_790_000_000_000 + number * 1000 if at_ms is None else at_ms
        return Reading(link, "echo", at, values, Flag.CLOCK_SYNCED)

    return make


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Waits until something holds, with a bound that only a failure reaches."""

    def wait(holds: Callable[[], object], within_s: float = 15) -> None:
        deadline = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < deadline, "it did not come true"
            time.sleep(0.02)

    return wait


@pytest.fixture
def eventually_async() -> Callable[..., object]:
    """The same on the event loop."""

    async def wait(holds: Callable[[], object], within_s: float = 15) -> None:
        deadline = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < deadline, "it did not come true"
            await asyncio.sleep(0.02)

    return wait


@pytest.fixture
def config_file(authority: Authority, tmp_path: Path) -> Callable[..., Path]:
    """A maker of agent.toml for gw-1: one quick simulated link, a spool in tmp_path, this test's broker."""

    def make(
        port: int, link: str = "north", extra: str = "", name: str = "agent.toml", **changes: str
    ) -> Path:
        identity = authority.issue("gw-1")
        settings = {"publisher": "paho", "spool": str(tmp_path / "spool"), "flush_s": "0.5"} | changes
        path = tmp_path / name
        path.write_text(
            f'[gateway]\nname = "gw-1"\n'
            f'[mqtt]\npublisher = "{settings["publisher"]}"\nendpoint = "localhost"\nport = {port}\n'
            f'rule = "{RULE}"\nca = "{identity.ca}"\ncertificate = "{identity.certificate}"\n'
            f'key = "{identity.key}"\n'
            f'[spool]\npath = "{settings["spool"]}"\ncommit_s = 0.1\n'
            f"[uplink]\nflush_s = {settings['flush_s']}\nbackoff_max_s = 1\n"
            "[clock]\nwait_s = 0\n"  # nobody may discipline the clock of a machine that tests
            "[probe.simulated]\nperiod_s = 0.2\ntimeout_s = 0.1\n"
            f'[[link]]\nid = "{link}"\nprobes = ["simulated"]\n{extra}'
        )
        return path

    return make


@pytest.fixture
def start() -> Iterator[Start]:
    """A maker of agents, which end with the test."""
    started: list[Running] = []

    def make(config: Path, record: Path | None = None, **environment: str) -> Running:
        running = Running(config, record, environment)
        started.append(running)
        return running

    yield make
    for running in started:
        running.process.kill()
        running.process.wait()
