"""What the probes ask at the far end: HTTP, HTTPS and DNS servers that answer one thing after a set pause."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import socket
import ssl
import struct
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.truth.side import FAR, Side

HTTP_PORT, TLS_PORT, DNS_PORT, CLOSED_PORT = 8080, 8443, 53, 9
PAUSE_S = 0.03
"""Between an HTTP request and its answer."""
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


@contextlib.contextmanager
def serving(side: Side) -> Iterator[None]:
    """The servers, while the block runs."""
    process = side.popen([sys.executable, "-m", "tests.truth.services"])
    assert process.stdout
    if process.stdout.readline().strip() != "ready":
        raise RuntimeError("the far end's servers did not start; their message is above")
    try:
        yield
    finally:
        process.kill()
        process.wait()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(PAUSE_S)
        writer.write(_ANSWER)
        await writer.drain()
    writer.close()


def _name(opened: socket.socket) -> None:
    """Answer one query with its own question and no records (RFC 1035 section 4.1)."""
    data, source = opened.recvfrom(512)
    response, recursion = 0x8000, 0x0080
    flags = struct.unpack_from("!H", data, 2)[0] | response | recursion
    opened.sendto(data[:2] + struct.pack("!H", flags) + data[4:], source)


def _context() -> ssl.SSLContext:
    """A server's context with a certificate of its own making; tickets would pass for the answer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "both.pem")
        path.write_bytes(_certificate())
        context.load_cert_chain(path)
    return context


def _certificate() -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "far")])
    today = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), today - day, today + day
    )
    plain = serialization.NoEncryption()
    encoding, layout = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, layout, plain) + builder.sign(key, hashes.SHA256()).public_bytes(
        encoding
    )


async def _serve() -> None:
    await asyncio.start_server(_answer, FAR, HTTP_PORT)
    await asyncio.start_server(_answer, FAR, TLS_PORT, ssl=_context())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as names:
        names.bind((FAR, DNS_PORT))
        asyncio.get_running_loop().add_reader(names, _name, names)
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve())
