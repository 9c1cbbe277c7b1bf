"""Time on a gateway: wall clock, time since boot, and whether the wall clock can be believed."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STA_UNSYNC = 0x40
_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """What the agent needs to know about time."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970 UTC, as far as this machine knows."""
        ...

    def monotonic(self) -> float:
        """Seconds since boot, suspended time included; never steps."""
        ...

    def synced(self) -> bool:
        """Whether something disciplines the wall clock."""
        ...

    def boot_id(self) -> str:
        """Names the boot that ``monotonic`` counts from."""
        ...


class Timex(ctypes.Structure):
    """The head of struct timex of adjtimex(2), with room for the rest of it on any machine."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 512),
    )


Adjtimex = Callable[[Timex], int]


def is_synced(adjtimex: Adjtimex) -> bool:
    """Whether adjtimex(2) succeeds and leaves STA_UNSYNC clear.

    Reading needs no privilege, but systemd's ProtectClock= and @system-service refuse the call.
    """
    timex = Timex()
    return adjtimex(timex) >= 0 and not timex.status & _STA_UNSYNC


def error_ns(adjtimex: Adjtimex) -> int | None:
    """The kernel's bound on the error of its wall clock, ns; None when nothing disciplines it, or unknown.

    maxerror of adjtimex(2), which the daemon that disciplines the clock sets and the kernel lets grow.
    """
    timex = Timex()
    if adjtimex(timex) < 0 or timex.status & _STA_UNSYNC:
        return None
    return int(timex.maxerror) * 1000


def _libc_adjtimex() -> Adjtimex:
    function = getattr(ctypes.CDLL(None), "adjtimex", None)
    if function is None:  # no Linux
        return lambda timex: -1
    return lambda timex: int(function(ctypes.byref(timex)))


class SystemClock:
    """The clocks of this machine."""

    def __init__(self) -> None:
        self._adjtimex = _libc_adjtimex()
        self._boot_id = _read_boot_id()

    def wall_ms(self) -> int:
        """CLOCK_REALTIME in ms."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """CLOCK_BOOTTIME in seconds (CLOCK_MONOTONIC where there is none)."""
        return time.clock_gettime(_SINCE_BOOT)

    def synced(self) -> bool:
        """Whether the kernel holds its clock for synchronised; False when it would not say."""
        return is_synced(self._adjtimex)

    def error_ns(self) -> int | None:
        """By how much the wall clock may be wrong, ns; None when it is not synchronised."""
        return error_ns(self._adjtimex)

    def boot_id(self) -> str:
        """The kernel's boot id, or one for this process where there is none."""
        return self._boot_id


def _read_boot_id() -> str:
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return os.urandom(16).hex()


class ManualClock:
    """A clock that moves when told to, for simulations and tests."""

    def __init__(self, wall_ms: int = 1_700_000_000_000, synced: bool = True, boot_id: str = "boot") -> None:
        self._started_ms = wall_ms
        self._elapsed_s = 0.0
        self._boot_id = boot_id
        self.is_synced = synced

    def advance(self, seconds: float) -> None:
        """Move both clocks on."""
        self._elapsed_s += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock alone, as a synchronisation does."""
        self._started_ms += round(seconds * 1000)

    def wall_ms(self) -> int:
        """The wall clock, ms."""
        return self._started_ms + round(self._elapsed_s * 1000)

    def monotonic(self) -> float:
        """Seconds advanced since it was made."""
        return self._elapsed_s

    def synced(self) -> bool:
        """What ``is_synced`` was set to."""
        return self.is_synced

    def boot_id(self) -> str:
        """The name given to this boot."""
        return self._boot_id
