"""Certificates made on the spot: the broker's own CA and server certificate, and one for the rules engine."""

from __future__ import annotations

import datetime
import ipaddress
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID_DAYS = 365
HOSTS = ("localhost", "127.0.0.1")


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class BrokerFiles:
    """The PEM files that the broker and the bridge are given."""

    ca: Path
    """Signs the server certificate; what clients trust."""
    server: Path
    server_key: Path
    client_cas: Path
    """Whose certificates the broker accepts: the engine's device CA and ours."""
    bridge: Path
    bridge_key: Path
    bridge_name: str
    """Common name of the rules engine; its dot keeps it apart from every legal gateway name."""


def make_ca(name: str, now: datetime.datetime) -> Issued:
    """A self-signed CA that may sign end certificates only."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    builder = _builder(subject, subject, key.public_key(), now)
    usage = _key_usage(signs_certificates=True)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(usage, critical=True)
    return Issued(builder.sign(key, hashes.SHA256()), key)


def issue(ca: Issued, name: str, hosts: Sequence[str], now: datetime.datetime) -> Issued:
    """A server certificate for the hosts, or a client certificate when there are none."""
    key = ec.generate_private_key(ec.SECP256R1())
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key())
    builder = _builder(_name(name), ca.certificate.subject, key.public_key(), now)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    builder = builder.add_extension(issuer_key, critical=False)
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([_host(each) for each in hosts]), False)
    return Issued(builder.sign(ca.key, hashes.SHA256()), key)


def write_broker_files(folder: Path, device_ca: bytes, now: datetime.datetime) -> BrokerFiles:
    """Make what the broker and the bridge need, anew; device_ca (PEM) signs the certificates of gateways."""
    ca = make_ca("Linkpulse local cloud", now)
    files = BrokerFiles(
        ca=folder / "ca.pem",
        server=folder / "broker.pem",
        server_key=folder / "broker.key",
        client_cas=folder / "client-cas.pem",
        bridge=folder / "bridge.pem",
        bridge_key=folder / "bridge.key",
        bridge_name=f"rules.engine.{secrets.token_hex(8)}",
    )
    server = issue(ca, "localhost", HOSTS, now)
    bridge = issue(ca, files.bridge_name, (), now)
    _write(files.ca, _pem(ca.certificate))
    _write(files.client_cas, device_ca.rstrip() + b"\n" + _pem(ca.certificate))
    for issued, certificate, key in (
        (server, files.server, files.server_key),
        (bridge, files.bridge, files.bridge_key),
    ):
        _write(certificate, _pem(issued.certificate))
        _write(key, _key_pem(issued.key))
    return files


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime.datetime
) -> x509.CertificateBuilder:
    # An hour back: the clock of a client may be a little behind.
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
