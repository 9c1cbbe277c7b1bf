"""Shared parts: an enrolled gateway's folder, and the socket that systemd would listen on."""

import datetime
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CONFIG = """\
[gateway]
name = "gw-1"

[mqtt]
endpoint = "127.0.0.1"
port = 9
rule = "linkpulse_test_ingest"
ca = "ca.pem"
certificate = "gateway.pem"
key = "gateway.key"
"""
"""Port 9 is nobody's: the agent finds no broker and must start all the same."""


@pytest.fixture(scope="session")
def enrolled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as enrolment leaves it: config, CA, certificate, key, and a note that is no PEM."""
    folder = tmp_path_factory.mktemp("gw-1")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gw-1")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1))
    certificate = builder.not_valid_after(now + datetime.timedelta(days=2)).sign(key, hashes.SHA256())
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "ca.pem").write_bytes(pem)
    (folder / "gateway.pem").write_bytes(pem)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "gateway.key").write_bytes(private)
    (folder / "gateway.key").chmod(0o600)
    (folder / "agent.toml").write_text(CONFIG, encoding="utf-8")
    (folder / "note.txt").write_text("ask the tower's owner for the ladder\n", encoding="utf-8")
    return folder


class NotifySocket:
    """The receiving end of sd_notify(3)."""

    def __init__(self) -> None:
        self.address = f"@linkpulse-test-{secrets.token_hex(8)}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(30)
        self._socket.bind("\0" + self.address[1:])

    def wait_for(self, state: str) -> None:
        """Return when the state has been reported; raises TimeoutError when nothing at all comes any more."""
        while state not in self._socket.recv(4096).decode().splitlines():
            pass

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


@pytest.fixture
def notify_socket() -> Iterator[NotifySocket]:
    """A socket for NOTIFY_SOCKET."""
    listening = NotifySocket()
    yield listening
    listening.close()
