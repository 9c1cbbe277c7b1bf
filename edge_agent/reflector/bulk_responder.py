"""The far end of bulk transfers: takes what it is sent, up to a limit, and tells how fast it came."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Mapping

from edge_agent.mqtt_traffic import farewell, tcp_traffic
from edge_agent.probes.bulk_packet import (
    NONCE_BYTES,
    REQUEST_BYTES,
    BulkError,
    encode_offer,
    encode_result,
    parse_request,
)
from edge_agent.probes.shared_key import read_key
from edge_agent.reflector.admission import Admission
from edge_agent.reflector.guests import Guests
from edge_agent.reflector.listening import listening_error, named
from edge_agent.reflector.settings import ReflectorSettings
from edge_agent.reflector.tally import Tally

MOST_TRANSFERS, MOST_OF_ONE = 4, 2
"""At one time, and of one source; they would share the link, and measure each other."""
MOST_SILENT, MOST_SILENT_OF_ONE = 64, 4
"""Connections without a request yet: the oldest is closed for a new one."""
GREETING_S, SILENCE_S, WHOLE_S = 5.0, 20.0, 300.0
"""How long a client may take for its request, between pieces of its data, and for everything."""
_PIECE = 65_536
_BACKLOG = 16


class BulkResponder:
    """Takes bulk transfers from whoever is admitted."""

    def __init__(self, settings: ReflectorSettings, admission: Admission, tally: Tally | None = None) -> None:
        self._settings = settings
        self._admission = admission
        self._tally = tally or Tally()
        self._most_bytes = settings.bulk_max_mb * 1_000_000
        self._key: bytes | None = None
        self._server: asyncio.Server | None = None
        self._silent = Guests(MOST_SILENT, MOST_SILENT_OF_ONE)
        self._transfers = Guests(MOST_TRANSFERS, MOST_OF_ONE)
        self._taken = self._busy = self._malformed = self._broken = self._bytes = 0

    @property
    def counters(self) -> Mapping[str, int]:
        """Transfers taken, and those that were not and why, since it was started."""
        return {
            "taken": self._taken,
            "bytes": self._bytes,
            "busy": self._busy,
            "malformed": self._malformed,
            "broken": self._broken,
        }

    @property
    def port(self) -> int:
        """The TCP port, once started."""
        if self._server is None:
            return self._settings.train_port
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Listen; raises ProbeError when the port cannot be had, or the key not read."""
        self._key = read_key(self._settings.key_file) if self._settings.key_file else None
        opened = listen_tcp(self._settings.listen, self._settings.train_port)
        self._server = await asyncio.start_server(self._serve, sock=opened, limit=_PIECE, backlog=_BACKLOG)

    def close(self) -> None:
        """Stop listening and break off what runs; it may be called twice."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for guests in (self._silent, self._transfers):
            guests.dismiss()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        source = str(writer.get_extra_info("peername")[0])
        spent = _Spent(writer.get_extra_info("socket"))
        try:
            if (
                self._admission.admits(source)
                and self._has_room(source)
                and not self._tally.is_closed(source)
            ):
                async with asyncio.timeout(WHOLE_S):
                    await self._transfer(reader, writer, source, spent)
        except BulkError:
            self._malformed += 1
        except (OSError, TimeoutError, EOFError):
            self._broken += 1
        finally:
            self._tally.add(source, spent.look())
            writer.close()

    def _has_room(self, source: str) -> bool:
        """Whether one more transfer of that source may begin."""
        has_room = self._transfers.has_room(source)
        self._busy += not has_room
        return has_room

    async def _transfer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, source: str, spent: _Spent
    ) -> None:
        nonce = os.urandom(NONCE_BYTES)
        writer.write(encode_offer(nonce, self._most_bytes))
        with self._silent.host(writer, source):
            async with asyncio.timeout(GREETING_S):
                size = parse_request(await reader.readexactly(REQUEST_BYTES), nonce, self._key)
        if size > self._most_bytes:
            raise BulkError("more than was offered")
        if not self._has_room(source):  # another one's request came first
            return
        with self._transfers.host(writer, source):
            received, duration_ns = await self._take(reader, size, spent)
            self._taken += 1
            writer.write(encode_result(nonce, received, duration_ns, self._key))
            async with asyncio.timeout(GREETING_S):
                await writer.drain()

    async def _take(self, reader: asyncio.StreamReader, size: int, spent: _Spent) -> tuple[int, int]:
        """Bytes that came, up to ``size`` or the end, and ns from the first of them to the last."""
        received, first_ns, last_ns = 0, 0, 0
        while received < size:
            async with asyncio.timeout(SILENCE_S):
                piece = await reader.read(min(_PIECE, size - received))
            if not piece:
                break
            last_ns = time.monotonic_ns()
            first_ns = first_ns or last_ns
            received += len(piece)
            self._bytes += len(piece)
            spent.look()
        return received, last_ns - first_ns


class _Spent:
    """What a connection had cost when it was last looked at: one that is broken off tells nothing more."""

    def __init__(self, opened: socket.socket) -> None:
        self._opened = opened
        self._bytes = 0

    def look(self) -> int:
        """IP bytes, both directions, its end included."""
        counted = tcp_traffic(self._opened)
        if counted is not None:
            self._bytes = counted.both + farewell(self._opened).both
        return self._bytes


def listen_tcp(address: str, port: int) -> socket.socket:
    """A TCP socket on an address; "::" is IPv4's addresses too. Raises ProbeError."""
    both = address == "::" and socket.has_dualstack_ipv6()
    place = address if both or address != "::" else "0.0.0.0"
    family = socket.AF_INET6 if ":" in place else socket.AF_INET
    try:
        return socket.create_server((place, port), family=family, backlog=_BACKLOG, dualstack_ipv6=both)
    except OSError as exc:
        raise listening_error(exc, f"bulk transfers: TCP port {port} of {named(address)}", port) from exc
