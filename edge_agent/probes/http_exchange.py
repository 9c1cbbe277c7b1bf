"""One HTTP request over a connection that stands: TLS where asked for, the request, the status (RFC 9112)."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import time
from dataclasses import dataclass

from edge_agent.contract import Outcome, row
from edge_agent.probes.probe import Measurement, ProbeError

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})[ \r\n]")
_LONGEST_LINE = 1024
_FINAL = 200
"""Below are responses after which the one that counts is still to come (RFC 9110 section 15.2)."""
_DEFAULT_PORTS = {True: 443, False: 80}


@dataclass(slots=True)
class Exchange:
    """How far a request came: the phases that were finished, ns, and how it ended."""

    resolve_ns: int | None = None
    connect_ns: int | None = None
    tls_ns: int | None = None
    wait_ns: int | None = None
    status: int | None = None
    refused: bool = False
    timed_out: bool = False

    def measurement(self) -> Measurement:
        """The http reading.

        The time to first byte is the sum of the phases, so without our own work between them. A request that
        was neither answered nor refused nor timed out was broken off.
        """
        phases = (self.resolve_ns, self.connect_ns, self.tls_ns, self.wait_ns)
        answered = self.status is not None
        values = row(
            "http",
            sent=1,
            answered=int(answered),
            refused=int(self.refused),
            timed_out=int(self.timed_out),
            status=self.status,
            resolve_us=_micros(self.resolve_ns),
            connect_us=_micros(self.connect_ns),
            tls_us=_micros(self.tls_ns),
            wait_us=_micros(self.wait_ns) if answered else None,
            first_byte_us=_micros(sum(each or 0 for each in phases)) if answered else None,
        )
        return Measurement("http", values)


def _micros(nanoseconds: int | None) -> int | None:
    return None if nanoseconds is None else (nanoseconds + 500) // 1000


def request(host: str, port: int, path: str, tls: bool) -> bytes:
    """A GET that asks to end the connection after its answer."""
    name = f"[{host}]" if ":" in host else host
    if port != _DEFAULT_PORTS[tls]:
        name += f":{port}"
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: {name}",
        "User-Agent: edge-agent",
        "Accept: */*",
        "Connection: close",
        "\r\n",
    )
    return "\r\n".join(lines).encode()


def status(line: bytes) -> int | None:
    """The code of a status line (RFC 9112 section 4), None for anything else."""
    match = _STATUS_LINE.match(line)
    return int(match[1]) if match else None


def tls_context(verify: bool) -> ssl.SSLContext:
    """What a client expects of a server: a certificate that the system trusts, or any."""
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def exchange(
    opened: socket.socket, context: ssl.SSLContext | None, host: str, message: bytes, into: Exchange
) -> None:
    """Send the request and read the status line; takes over the connected socket and closes it.

    What the peer or the link breaks off ends the exchange where it is. Raises ProbeError for a certificate
    that is not good, and for what speaks no TLS or no HTTP: what the settings ask for cannot be measured.
    """
    started_ns = time.monotonic_ns()
    writer: asyncio.StreamWriter | None = None
    try:
        reader, writer = await asyncio.open_connection(
            sock=opened, ssl=context, server_hostname=host if context else None, limit=_LONGEST_LINE
        )
        if context:
            into.tls_ns = time.monotonic_ns() - started_ns
        await _ask(reader, writer, message, into)
        if into.status is None:
            raise ProbeError(Outcome.FAILED, f"{host} answers, but speaks no HTTP on that port")
    except ssl.SSLCertVerificationError as exc:
        message_ = f"TLS with {host}: {exc.verify_message}: name the server in host, or set verify = false"
        raise ProbeError(Outcome.FAILED, message_) from exc
    except asyncio.LimitOverrunError as exc:
        raise ProbeError(Outcome.FAILED, f"{host} answers without end, which is no HTTP") from exc
    except ssl.SSLError as exc:
        if into.tls_ns is not None or isinstance(exc, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return
        reason = (exc.reason or str(exc)).lower().replace("_", " ")
        message_ = f"TLS with {host}: {reason}: where that port speaks no TLS, set tls = false"
        raise ProbeError(Outcome.FAILED, message_) from exc
    except (OSError, EOFError):
        return
    finally:
        if writer:
            writer.transport.abort()  # at once: the rest of the answer is not wanted
            await asyncio.sleep(0)
        else:
            opened.close()


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: bytes, into: Exchange
) -> None:
    sent_ns = time.monotonic_ns()
    writer.write(message)
    first = await reader.readexactly(1)
    into.wait_ns = time.monotonic_ns() - sent_ns
    into.status = await final_status(first, reader)


async def final_status(first: bytes, reader: asyncio.StreamReader) -> int | None:
    """The code of the final answer, of which the first byte was read; None for what is no HTTP.

    Raises EOFError for what is broken off, asyncio.LimitOverrunError for a line without end.
    """
    code = status(first + await reader.readuntil(b"\n"))
    while code and code < _FINAL:
        while (await reader.readuntil(b"\n")).strip():
            continue
        code = status(await reader.readuntil(b"\n"))
    return code
