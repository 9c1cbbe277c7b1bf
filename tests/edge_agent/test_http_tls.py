"""HTTP over TLS: the handshake is a phase of its own, and a certificate that is not good is told."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edge_agent.contract import Outcome
from edge_agent.probes.probe import ProbeError
from tests.edge_agent.http_server import OK, answering, ended, finished, get, server, until_closed


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that signs itself, with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "probed")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "identity.pem"
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    path.write_bytes(certificate.public_bytes(pem) + key.private_bytes(pem, *private))
    return path


@pytest.fixture
def context(identity: Path) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(identity)
    return made


@pytest.mark.parametrize("trusted", [True, False])
def test_tls_is_a_phase_of_its_own(
    context: ssl.SSLContext, identity: Path, trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(identity))
    with server(answering(OK), context) as port:
        values = get(port, tls=True, verify=trusted)
    assert ended(values) == [1, 1, 0, 0, 200]
    assert finished(values) == ["connect_us", "tls_us", "wait_us", "first_byte_us"]


def test_a_certificate_that_is_not_trusted_is_told_with_what_to_do(context: ssl.SSLContext) -> None:
    with server(answering(OK), context) as port, pytest.raises(ProbeError, match="verify = false") as caught:
        get(port, tls=True)
    assert caught.value.outcome is Outcome.FAILED


def test_a_certificate_of_another_host_is_told(
    context: ssl.SSLContext, identity: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(identity))
    with server(answering(OK), context) as port, pytest.raises(ProbeError, match=r"other\.example"):
        get(port, tls=True, host="other.example")


def test_what_speaks_no_tls_is_told_with_what_to_do() -> None:
    with (
        server(answering(b"no TLS here\r\n")) as port,
        pytest.raises(ProbeError, match="set tls = false") as caught,
    ):
        get(port, tls=True)
    assert caught.value.outcome is Outcome.FAILED


@pytest.mark.parametrize(("behave", "timed_out"), [(until_closed, 1), (answering(b""), 0)])
def test_a_server_without_tls_has_no_handshake(
    behave: Callable[[socket.socket], None], timed_out: int
) -> None:
    with server(behave) as port:
        values = get(port, tls=True)
    assert ended(values) == [1, 0, 0, timed_out, None]
    assert finished(values) == ["connect_us"]
