"""Many packets of a socket with one system call, where the C library has recvmmsg(2).

The structures of that call are laid out by struct with native sizes and alignment, as C does it on every
machine: the same lines serve 32 and 64 bits.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

from edge_agent.probes.stamps import SO_TIMESTAMPING, Control, kernel_time_ns, time_to_live

Sockaddr = tuple[str, int] | tuple[str, int, int, int]

Packet = tuple[bytes, int | None, int | None, Sockaddr]
"""Content, when the kernel saw it (CLOCK_REALTIME, ns), TTL or hop limit, source; None when not told."""

PACKETS = 64
"""The most of one call: more would take memory and save nothing."""
CONTROL_SIZE = 256
_NAME_SIZE = 32
"""Room for struct sockaddr_in6 (28 bytes), and a multiple of any alignment."""
_UNKNOWN = ("", 0)
_MESSAGE = struct.Struct("@PIPNPNi0PI0P")
"""struct mmsghdr: name, its size, parts, their number, control, its size, flags; bytes received."""
_PART = struct.Struct("@PN")
"""struct iovec."""
_CONTROL = struct.Struct("@Nii")
"""struct cmsghdr: size of the message with this header, level, type."""
_WORD = struct.calcsize("@N")
"""Control messages begin at its multiples."""
_RESULT = struct.Struct(f"@{_WORD}xI0P{3 * _WORD}xN4x0PI0P")
"""Of struct mmsghdr, what the kernel fills in: sizes of name, control and content."""
_STAMP_SIZE = struct.calcsize("@Nii6l")
"""The message of SO_TIMESTAMPING: three timespecs, of which the first is the software's."""
_SOL_SOCKET = socket.SOL_SOCKET
_NOTHING_WAITS = (errno.EAGAIN, errno.EINTR, errno.EBADF)

Recvmmsg = Callable[[int, int, int, int, None], int]


class Receiver(Protocol):
    """Reads what waits at a non-blocking socket."""

    def read(self, limit: int, flags: int) -> list[Packet]:
        """Up to ``limit`` packets; with MSG_ERRQUEUE those of the error queue."""
        ...


class SingleReceiver:
    """Reads one packet a call."""

    def __init__(self, opened: socket.socket, size: int) -> None:
        self._recvmsg, self._size = opened.recvmsg, size

    def read(self, limit: int, flags: int) -> list[Packet]:
        """Up to ``limit`` packets."""
        packets: list[Packet] = []
        for _ in range(limit):
            try:
                data, control, _, source = self._recvmsg(self._size, CONTROL_SIZE, flags)
            except OSError as exc:
                if flags or exc.errno in _NOTHING_WAITS:
                    break
                continue  # an asynchronous error, cleared by having been told
            packets.append((data, kernel_time_ns(control), time_to_live(control), source or _UNKNOWN))
        return packets


class BatchReceiver:
    """Reads up to PACKETS a call into memory that is allocated once."""

    def __init__(self, opened: socket.socket, size: int, recvmmsg: Recvmmsg) -> None:
        self._socket, self._recvmmsg = opened, recvmmsg
        self._source = _source_v6 if opened.family == socket.AF_INET6 else _source_v4
        after = CONTROL_SIZE - _STAMP_SIZE
        self._slot = struct.Struct(f"@{_NAME_SIZE}sNiill{4 * _WORD}x{after}s{size}s0P")
        slots = ctypes.create_string_buffer(PACKETS * self._slot.size)
        parts = ctypes.create_string_buffer(PACKETS * _PART.size)
        messages = ctypes.create_string_buffer(PACKETS * _MESSAGE.size)
        for number in range(PACKETS):
            name = ctypes.addressof(slots) + number * self._slot.size
            part = ctypes.addressof(parts) + number * _PART.size
            control = name + _NAME_SIZE
            _PART.pack_into(parts, number * _PART.size, control + CONTROL_SIZE, size)
            facts = name, _NAME_SIZE, part, 1, control, CONTROL_SIZE, 0, 0
            _MESSAGE.pack_into(messages, number * _MESSAGE.size, *facts)
        self._address = ctypes.addressof(messages)
        self._slots, self._messages = memoryview(slots).cast("B"), memoryview(messages).cast("B")
        self._unused = bytes(messages)
        self._parts = parts  # kept: only the kernel refers to it

    def read(self, limit: int, flags: int) -> list[Packet]:
        """Up to ``limit`` packets."""
        packets: list[Packet] = []
        for _ in range(limit):
            wanted = min(limit - len(packets), PACKETS)
            self._messages[:] = self._unused
            count = self._recvmmsg(self._socket.fileno(), self._address, wanted, flags, None)
            if count > 0:
                self._unpack(count, packets, _no_source if flags else self._source)
            elif flags or ctypes.get_errno() in _NOTHING_WAITS:
                break
            # else an asynchronous error, cleared by having been told
            if 0 <= count < wanted or len(packets) == limit:
                break
        return packets

    def _unpack(self, count: int, packets: list[Packet], source_of: Callable[[bytes], Sockaddr]) -> None:
        """Append what the kernel has filled in; its time is nearly always the first control message."""
        before = len(packets)
        results = _RESULT.iter_unpack(self._messages[: count * _MESSAGE.size])
        slots = self._slot.iter_unpack(self._slots[: count * self._slot.size])
        for (name_size, room, size), (name, length, level, kind, seconds, fraction, rest, data) in zip(
            results, slots, strict=True
        ):
            if kind == SO_TIMESTAMPING and length == _STAMP_SIZE <= room and level == _SOL_SOCKET:
                at_ns = seconds * 1_000_000_000 + fraction or None
                hops = None if room == _STAMP_SIZE else _hops(rest[: room - _STAMP_SIZE])
            else:
                at_ns, hops = self._search(len(packets) - before, room)
            packets.append((data[:size], at_ns, hops, source_of(name) if name_size else _UNKNOWN))

    def _search(self, number: int, room: int) -> tuple[int | None, int | None]:
        """Time and hops wherever they are among the control messages of a packet."""
        start = number * self._slot.size + _NAME_SIZE
        messages = control_messages(bytes(self._slots[start : start + room]))
        return kernel_time_ns(messages), time_to_live(messages)


def receiver(opened: socket.socket, size: int) -> Receiver:
    """Reads packets from a socket of IPv4 or IPv6, of each up to ``size`` bytes; the rest is cut."""
    recvmmsg = getattr(ctypes.CDLL(None, use_errno=True), "recvmmsg", None)
    if recvmmsg is None:
        return SingleReceiver(opened, size)
    recvmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
    return BatchReceiver(opened, size, recvmmsg)


def control_messages(control: bytes) -> Control:
    """The messages in a control buffer, as recvmsg gives them; what is cut short ends them."""
    messages: Control = []
    at = 0
    while at + _CONTROL.size <= len(control):
        size, level, kind = _CONTROL.unpack_from(control, at)
        if not _CONTROL.size <= size <= len(control) - at:
            break
        messages.append((level, kind, control[at + _CONTROL.size : at + size]))
        at += -(-size // _WORD) * _WORD
    return messages


@lru_cache(maxsize=256)
def _hops(control: bytes) -> int | None:
    """The TTL or hop limit; what follows the kernel's time is the same from packet to packet."""
    return time_to_live(control_messages(control))


def _no_source(name: bytes) -> Sockaddr:
    return _UNKNOWN


def _source_v4(name: bytes) -> Sockaddr:
    return socket.inet_ntoa(name[4:8]), 0


def _source_v6(name: bytes) -> Sockaddr:
    address = socket.inet_ntop(socket.AF_INET6, name[8:24])
    return address, 0, int.from_bytes(name[4:8], "big"), int.from_bytes(name[24:28], sys.byteorder)
