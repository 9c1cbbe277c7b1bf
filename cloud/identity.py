"""A gateway's key pair and certificate request; the key is made here and goes nowhere else."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Identity:
    """A new EC P-256 key, which AWS IoT accepts and a small gateway signs with fast, and its CSR."""

    key_pem: bytes = field(repr=False)
    csr_pem: str
    """PKCS #10 (RFC 2986) with the gateway's name as its common name."""


def new_identity(gateway: str) -> Identity:
    """A fresh key for the gateway and the request for its certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, gateway)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    key_pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Identity(key_pem, request.public_bytes(serialization.Encoding.PEM).decode())
