"""Shared parts: the folder of an enrolled gateway."""

import datetime
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ROOT = Path(__file__).parents[2]
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


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Linkpulse as a wheel, from a copy of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    checkout = ROOT
    for part in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(checkout / part, folder)
    shutil.copytree(checkout / "edge_agent", folder / "edge_agent")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "."]
    subprocess.run(command, cwd=folder, check=True, timeout=110)
    (built,) = folder.glob("linkpulse-*.whl")
    return built
