"""Times of packets: user space's two clocks, and the kernel's own stamps among control messages."""

from __future__ import annotations

import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

Control = list[tuple[int, int, bytes]]

SO_TIMESTAMPING, SO_TIMESTAMPING_NEW = 37, 65
_SOL_SOCKET = socket.SOL_SOCKET
_IP_TTL, _IPV6_HOPLIMIT = 2, 52
_TTLS = ((socket.SOL_IP, _IP_TTL), (socket.IPPROTO_IPV6, _IPV6_HOPLIMIT))
_WIDE, _NARROW = struct.Struct("=qq"), struct.Struct("=ii")

STEP_NS = 100_000
"""How far wall minus monotonic time may move before the wall clock counts as stepped: a slew moves both."""
_QUICK_NS = 20_000
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Stamp:
    """When something happened: user space's two clocks at the time it saw it, and the kernel's wall clock."""

    monotonic_ns: int
    wall_ns: int
    kernel_ns: int | None = None
    """CLOCK_REALTIME, ns; None when the kernel did not stamp it."""


def stamp_now(kernel_ns: int | None = None) -> Stamp:
    """A stamp of this moment."""
    return Stamp(time.monotonic_ns(), time.time_ns(), kernel_ns)


def kernel_time_ns(control: Control) -> int | None:
    """The software timestamp among control messages: the first of three timespecs, 32 or 64 bits a field."""
    for level, kind, data in control:
        if level == _SOL_SOCKET and kind in (SO_TIMESTAMPING, SO_TIMESTAMPING_NEW):
            form = _WIDE if len(data) >= 48 else _NARROW
            if len(data) >= form.size:
                seconds, nanoseconds = form.unpack_from(data)
                return seconds * 1_000_000_000 + nanoseconds or None
    return None


def time_to_live(control: Control) -> int | None:
    """The TTL or hop limit among control messages, 0 to 255."""
    for level, kind, data in control:
        if (level, kind) in _TTLS and len(data) >= 4:
            return int.from_bytes(data[:4], sys.byteorder) & 0xFF
    return None


class WallClock:
    """Where the wall clock, which the kernel stamps with, stands against monotonic time; sees its steps."""

    def __init__(
        self,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns
        self.steps = 0
        """How often the wall clock was set since the first look."""
        self.offset_ns = 0
        """Wall minus monotonic time, as of the last look."""
        self.offset_ns = self._measure()

    def look(self) -> bool:
        """Whether the wall clock was set since the last look; kernel stamps in between are ambiguous then."""
        offset_ns = self._measure()
        if abs(offset_ns - self.offset_ns) < STEP_NS:
            return False
        self.offset_ns = offset_ns
        self.steps += 1
        return True

    def _measure(self) -> int:
        """The offset, read without being interrupted in the middle; as before when that does not succeed."""
        for _ in range(_TRIES):
            before = self.monotonic_ns()
            wall = self._wall_ns()
            after = self.monotonic_ns()
            if after - before < _QUICK_NS:
                return wall - (before + after) // 2
        return self.offset_ns or wall - (before + after) // 2
