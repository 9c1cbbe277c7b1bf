"""What a publisher's connections cost, by the kernel's own counters of its sockets (TCP_INFO).

Each segment is counted with its IP and TCP headers, repeats and bare acknowledgements included; what a
counter cannot tell (a handshake that failed unseen, an old kernel) is estimated.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from pathlib import Path

from edge_agent.publisher import CONNECTION_BYTES, Traffic, wire_bytes

_TCP_INFO = getattr(socket, "TCP_INFO", 11)
_SIZE = 256
_SEGMENTS_KNOWN = 144
"""Bytes of struct tcp_info that hold the counts of segments: Linux 4.2 (include/uapi/linux/tcp.h)."""
_SENT_KNOWN = 208
"""Bytes that hold bytes_sent: Linux 4.19."""
_TIMESTAMPS = 1
_SYN_OPTIONS = 8
"""Bytes that a SYN has beyond the header of later segments."""
_TCP_HEADER, _TCP_TIMESTAMPS = 20, 12
FAREWELL = 2
"""Segments each way after the last look at a connection: FIN and its acknowledgement."""
SYN_BYTES = 60
FAILED_BYTES = 4_000
"""About what a TLS handshake costs that the broker ends because of the certificate, both directions."""


def tcp_traffic(opened: socket.socket) -> Traffic | None:
    """What a connection has cost so far; None where the kernel does not tell."""
    try:
        raw = opened.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _SIZE)
        return parse(raw, _ip_header(opened))
    except OSError:
        return None


def parse(raw: bytes, ip_header: int) -> Traffic | None:
    """The counts of struct tcp_info as bytes on the wire."""
    if len(raw) < _SEGMENTS_KNOWN:
        return None
    acked, received = struct.unpack_from("=QQ", raw, 120)
    out, back = struct.unpack_from("=II", raw, 136)
    sent = struct.unpack_from("=Q", raw, 200)[0] if len(raw) >= _SENT_KNOWN else acked
    header = ip_header + _TCP_HEADER + (_TCP_TIMESTAMPS if raw[5] & _TIMESTAMPS else 0)
    return Traffic(sent + out * header + _SYN_OPTIONS, received + back * header + _SYN_OPTIONS)


def farewell(opened: socket.socket) -> Traffic:
    """What closing a connection costs, which nobody can count any more."""
    size = FAREWELL * (_ip_header(opened) + _TCP_HEADER + _TCP_TIMESTAMPS)
    return Traffic(size, size)


def _ip_header(opened: socket.socket) -> int:
    if opened.family != socket.AF_INET6:
        return 20
    try:
        return 20 if str(opened.getpeername()[0]).startswith("::ffff:") else 40
    except OSError:
        return 40


class TrafficMeter:
    """Sums up a publisher's connections, one at a time; may be called from any thread."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._ended = Traffic()
        self._now: Traffic | None = None
        """What the current connection has cost when it was last looked at."""
        self._estimate = Traffic()
        """The same by estimate, for where nobody can look."""

    def look(self, opened: socket.socket) -> bool:
        """Take the counters of the current connection; whether there were any."""
        counted = tcp_traffic(opened)
        if counted is not None:
            with self._mutex:
                self._now = counted
        return counted is not None

    def connected(self) -> None:
        """Note a connection, for the estimate."""
        half = CONNECTION_BYTES // 2
        self._add_estimate(Traffic(half, half))

    def failed_late(self) -> None:
        """The connection ended in its handshake, which may have gone on since the last look."""
        half = FAILED_BYTES // 2
        with self._mutex:
            now = self._now or Traffic()
            self._now = Traffic(max(now.sent, half), max(now.received, half))

    def published(self, topic: str, payload: bytes) -> None:
        """Note a publish, for the estimate."""
        self._add_estimate(Traffic(wire_bytes(topic, payload)))

    def ended(self, last: Traffic) -> None:
        """The current connection is over; ``last`` is what came after the last look."""
        with self._mutex:
            counted = self._now if self._now is not None else self._estimate
            self._ended += counted + (last if counted.both else Traffic())
            self._now, self._estimate = None, Traffic()

    def unanswered(self, seconds: float) -> None:
        """Count an attempt that found nobody for ``seconds``: SYNs, repeated after 1, 2, 4, ... s."""
        with self._mutex:
            self._ended += Traffic(SYN_BYTES * int(seconds + 1).bit_length())

    @property
    def total(self) -> Traffic:
        """All connections so far."""
        with self._mutex:
            return self._ended + (self._now if self._now is not None else self._estimate)

    def _add_estimate(self, more: Traffic) -> None:
        with self._mutex:
            self._estimate += more


class MarkedSocket:
    """A socket that a library opened in this process, known by the times of its TCP keep-alive."""

    def __init__(self, mark: int, meter: TrafficMeter) -> None:
        """``mark`` is its idle time and its interval in s, which no other socket has."""
        self.mark = mark
        self._meter = meter
        self._descriptor = -1
        self._seen = False
        self._last = Traffic()

    def look(self) -> None:
        """Leave the counters with the meter, if the socket is open."""
        opened = self._duplicate(self._descriptor) or self._find()
        if opened is None:
            return
        with opened:
            self._seen = self._meter.look(opened) or self._seen
            self._last = farewell(opened)

    def ended(self) -> bool:
        """The socket is gone; whether it was ever seen."""
        self._meter.ended(self._last)
        return self._seen

    def _find(self) -> socket.socket | None:
        if self._seen:
            return None
        try:
            descriptors = [int(each.name) for each in Path("/proc/self/fd").iterdir()]
        except OSError:
            return None
        for descriptor in descriptors:
            opened = self._duplicate(descriptor)
            if opened is not None:
                self._descriptor = descriptor
                return opened
        return None

    def _duplicate(self, descriptor: int) -> socket.socket | None:
        """The socket behind a descriptor if it is ours; held for a moment, it delays the library's close."""
        if descriptor < 0:
            return None
        try:
            # Nothing but a socket: closing the double of a locked file would take its POSIX locks away.
            if not str(Path(f"/proc/self/fd/{descriptor}").readlink()).startswith("socket:"):
                return None
            double = os.dup(descriptor)
        except OSError:
            return None
        opened = socket.socket(fileno=double)
        try:
            is_kept = opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL)
            # Kept alive and both: a socket that nobody marked has the default of one of them at most.
            if is_kept and all(opened.getsockopt(socket.IPPROTO_TCP, each) == self.mark for each in options):
                return opened
        except OSError:
            pass
        opened.close()
        return None
