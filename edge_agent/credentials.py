"""The files that prove who the gateway is: are they there, private, and do they belong together."""

from __future__ import annotations

import ssl
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from edge_agent.config import MqttSettings

ContextT = TypeVar("ContextT", bound=ssl.SSLContext)
Finding = tuple[str, str, bool]
"""(key of [mqtt], the end of a sentence that begins with the key, whether the agent cannot run so)."""


class CredentialsError(Exception):
    """TLS cannot use these files; the message names the file."""


def inspect(mqtt: MqttSettings) -> Iterator[Finding]:
    """What is wrong with the CA, the certificate and the key; reads files, uses no network."""
    readable = True
    for key, path in (("ca", mqtt.ca), ("certificate", mqtt.certificate), ("key", mqtt.key)):
        reason = why_unreadable(path)
        if reason:
            readable = False
            yield key, f"{path}: {reason}", True
    if not readable:
        return
    if mqtt.key.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield "key", f"{mqtt.key} can be read by others; chmod 600 it", False
    try:
        tls_context(mqtt.ca, mqtt.certificate, mqtt.key)
    except CredentialsError as exc:
        yield ("ca" if str(mqtt.ca) in str(exc) else "certificate"), str(exc), True


def why_unreadable(path: Path) -> str:
    """Why a file cannot be read, or nothing."""
    try:
        with path.open("rb"):
            return ""
    except OSError as exc:
        return exc.strerror or str(exc)


def tls_context(ca: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    """A context for mutual TLS that trusts only ``ca``; raises CredentialsError naming the file."""
    return tls_context_of(ssl.SSLContext, ca, certificate, key)


def tls_context_of(kind: type[ContextT], ca: Path, certificate: Path, key: Path) -> ContextT:
    """The same as a context of one's own kind."""
    for path in (ca, certificate, key):
        reason = why_unreadable(path)  # OpenSSL's own error does not say which file
        if reason:
            raise CredentialsError(f"{path}: {reason}")
    context = kind(ssl.PROTOCOL_TLS_CLIENT)
    if sys.version_info >= (3, 13):  # as ssl.create_default_context has it
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    try:
        context.load_verify_locations(ca)
    except OSError as exc:  # ssl.SSLError is one
        raise CredentialsError(f"{ca} holds no certificate: {_reason(exc)}") from exc
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as exc:
        raise CredentialsError(f"{certificate} does not go with {key}: {_reason(exc)}") from exc
    return context


def _no_password() -> str:
    raise ValueError("the key is encrypted")


def _reason(exc: Exception) -> str:
    reason = getattr(exc, "reason", None)
    return reason.replace("_", " ").lower() if isinstance(reason, str) else str(exc)
