"""The certificates made on the spot are valid for what they are for, and for nothing else."""

from __future__ import annotations

import datetime
import ipaddress
import re
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from edge_agent.contract import GATEWAY_PATTERN
from infrastructure.local.iot.certificates import BrokerFiles, make_ca, write_broker_files

NOW = datetime.datetime(2026, 11, 22, 12, tzinfo=datetime.UTC)


@pytest.fixture
def files(tmp_path: Path) -> BrokerFiles:
    device_ca = make_ca("devices", NOW).certificate.public_bytes(Encoding.PEM)
    return write_broker_files(tmp_path, device_ca, NOW)


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


@pytest.mark.parametrize(
    "host", [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
)
def test_a_client_can_verify_the_broker_by_either_of_its_names(
    files: BrokerFiles, host: x509.DNSName | x509.IPAddress
) -> None:
    store = Store([load(files.ca)])
    verifier = PolicyBuilder().store(store).time(NOW).build_server_verifier(host)
    assert verifier.verify(load(files.server), [])


def test_the_broker_s_certificate_is_for_servers_and_the_bridge_s_for_clients(files: BrokerFiles) -> None:
    purposes = [
        list(load(path).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        for path in (files.server, files.bridge)
    ]
    assert purposes == [[ExtendedKeyUsageOID.SERVER_AUTH], [ExtendedKeyUsageOID.CLIENT_AUTH]]


def test_the_bridge_is_called_what_no_gateway_can_be_called(files: BrokerFiles) -> None:
    name = load(files.bridge).subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    assert name == files.bridge_name
    assert GATEWAY_PATTERN.fullmatch(str(name)) is None


def test_the_bridge_s_name_cannot_be_guessed_from_another_run(files: BrokerFiles, tmp_path: Path) -> None:
    again = write_broker_files(tmp_path, b"", NOW)
    assert again.bridge_name != files.bridge_name
    assert re.fullmatch(r"rules\.engine\.[0-9a-f]{16}", again.bridge_name)


def test_each_key_is_on_the_curve_p_256_and_belongs_to_its_certificate(files: BrokerFiles) -> None:
    for certificate, key_file in ((files.server, files.server_key), (files.bridge, files.bridge_key)):
        key = load_pem_private_key(key_file.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        assert isinstance(key.curve, ec.SECP256R1)
        assert key.public_key() == load(certificate).public_key()


def test_only_the_owner_can_read_a_key(files: BrokerFiles) -> None:
    assert {stat.S_IMODE(path.stat().st_mode) for path in (files.server_key, files.bridge_key)} == {0o600}


def test_the_key_of_the_ca_is_kept_nowhere(files: BrokerFiles, tmp_path: Path) -> None:
    keys = [load_pem_private_key(path.read_bytes(), None) for path in tmp_path.glob("*.key")]
    ca = load(files.ca).public_key()
    assert len(keys) == 2
    assert all(key.public_key() != ca for key in keys)


def test_the_broker_takes_certificates_of_the_device_ca_and_of_its_own(files: BrokerFiles) -> None:
    names = [
        certificate.subject.rfc4514_string()
        for certificate in x509.load_pem_x509_certificates(files.client_cas.read_bytes())
    ]
    assert names == ["CN=devices", "CN=Linkpulse local cloud"]
