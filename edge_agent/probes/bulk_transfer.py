"""One bulk transfer on a connected socket: what it sends, what it spends, and when it stops."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from dataclasses import dataclass

from edge_agent.probes.bulk_packet import (
    OFFER_BYTES,
    REQUEST_BYTES,
    RESULT_BYTES,
    encode_request,
    parse_offer,
    parse_result,
)
from edge_agent.probes.tcp_info import TcpInfo, tcp_info

PIECE = 16_384
UNSENT = 65_536
"""What may wait in the kernel beside what is on its way, so that an end comes soon."""
KEPT_BACK = 0.05
"""Of the cap, for segments that have to be sent again."""
OPENING_BYTES = 1_000
"""Of the cap, for opening and closing the connection."""
SEGMENT = 500
"""As long as the kernel does not tell its own: small, so that headers are not underestimated."""
_TCP_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
_BREAK_OFF = struct.pack("ii", 1, 0)
_HEADERS = {socket.AF_INET: 52, socket.AF_INET6: 72}
"""Bytes of IP and TCP with the timestamp option (RFC 7323)."""


@dataclass(slots=True)
class Watch:
    """What the kernel tells of the connection while it lasts."""

    family: socket.AddressFamily
    info: TcpInfo | None = None
    rtt_max_us: int = 0
    handed_bytes: int = 0
    """Payload that the kernel was given."""
    began_ns: int = 0
    """Monotonic, of the first of it."""

    def sample(self, opened: socket.socket) -> None:
        """Ask the kernel."""
        info = tcp_info(opened)
        if info is not None:
            self.info = info
            self.rtt_max_us = max(self.rtt_max_us, info.rtt_us)

    @property
    def spent_bytes(self) -> int:
        """IP packets in both directions; counted by the kernel, an estimate before Linux 4.19."""
        info = self.info
        if info is not None and info.sent_bytes is not None and info.segments is not None:
            return info.sent_bytes + info.segments * _HEADERS[self.family]
        return self.will_spend(0)

    def acknowledged(self) -> tuple[int, int]:
        """Payload that has certainly come until now, and ns since it began."""
        if not self.began_ns or self.info is None or self.info.acked_bytes is None:
            return 0, 0
        return max(self.info.acked_bytes - REQUEST_BYTES, 0), time.monotonic_ns() - self.began_ns

    def will_spend(self, more_bytes: int) -> int:
        """What it will have cost once all that was handed over, and so much more, has arrived."""
        segment = self.info.segment_bytes if self.info else SEGMENT
        again = self.info.retransmitted * segment if self.info else 0
        payload = self.handed_bytes + more_bytes + again
        # At worst every segment is acknowledged on its own.
        return payload + 2 * -(-payload // max(segment, 1)) * _HEADERS[self.family] + OPENING_BYTES


class Transfer:
    """The client's end of one transfer."""

    def __init__(self, opened: socket.socket, key: bytes | None, max_bytes: int) -> None:
        self.opened = opened
        self.watch = Watch(opened.family)
        self._key = key
        self._max_bytes = max_bytes
        self._nonce = b""
        self._most_bytes = 0

    async def greet(self) -> None:
        """Hear what the responder takes; raises BulkError or EOFError when it takes nothing."""
        self.opened.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, UNSENT)
        self._nonce, self._most_bytes = parse_offer(await _exactly(self.opened, OFFER_BYTES))
        self.watch.sample(self.opened)

    async def run(self, until: float) -> tuple[int, int]:
        """Send until the cap or the time (monotonic, s); bytes that came, and ns from first to last.

        Raises OSError, EOFError or BulkError when the responder does not tell that.
        """
        loop, watch = asyncio.get_running_loop(), self.watch
        size = self._payload_bytes()
        await loop.sock_sendall(self.opened, encode_request(self._nonce, size, self._key))
        watch.began_ns = time.monotonic_ns()
        data = memoryview(bytes(PIECE))
        while watch.handed_bytes < size and time.monotonic() < until:
            piece = data[: min(PIECE, size - watch.handed_bytes)]
            if watch.will_spend(len(piece)) > self._max_bytes * (1 - KEPT_BACK):
                break
            await loop.sock_sendall(self.opened, piece)
            watch.handed_bytes += len(piece)
            watch.sample(self.opened)
        self.opened.shutdown(socket.SHUT_WR)
        return parse_result(await _exactly(self.opened, RESULT_BYTES), self._nonce, self._key)

    def close(self) -> None:
        """Close at once, and send nothing more of what the kernel may still hold."""
        try:
            self.opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _BREAK_OFF)
        finally:
            self.opened.close()

    def _payload_bytes(self) -> int:
        """The most payload that keeps to both ends' caps, so that the responder knows what is to come."""
        cost = self.watch.will_spend(PIECE) - OPENING_BYTES
        share = (self._max_bytes * (1 - KEPT_BACK) - OPENING_BYTES) / cost
        return min(int(share * PIECE), self._most_bytes)


async def _exactly(opened: socket.socket, size: int) -> bytes:
    loop, data = asyncio.get_running_loop(), b""
    while len(data) < size:
        more = await loop.sock_recv(opened, size - len(data))
        if not more:
            raise EOFError
        data += more
    return data
