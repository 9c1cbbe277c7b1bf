"""Time on a gateway: wall clock, time since boot, and whether the wall clock can be believed."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STA_UNSYNC = 0x40
_LEAP_STATES = (1, 2, 3, 4)
"""TIME_INS, TIME_DEL, TIME_OOP and TIME_WAIT: a leap second is due today, runs, or has just been."""
_LEAP_STATUS = 0x10 | 0x20
"""STA_INS and STA_DEL."""
_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_APART_NS = 1_000_000
_TRIES = 3
STEP_S = 0.1
"""What the wall clock gains or loses on the monotonic one for it to have been set, not slewed."""
SLEW = 500e-6
"""The fastest that the kernel slews its clock (adjtimex(2)): what no step is, over a long time."""
_LEAP_S = 1.0


class Look(NamedTuple):
    """All clocks at one moment."""

    wall_ms: int
    """Milliseconds since 1970 UTC, as far as this machine knows; negative before 1970."""
    since_boot_s: float
    ahead_s: float
    """The wall clock less the time since boot: constant but for slewing, unless it is set."""
    synced: bool
    leaping: bool = False
    """Whether the kernel inserts or deletes a leap second about now."""


def moved_s(before: Look, after: Look) -> float:
    """By how much the wall clock was set between two looks, s; 0 when it was slewed or took a leap second."""
    moved = after.ahead_s - before.ahead_s
    limit = STEP_S + SLEW * max(after.since_boot_s - before.since_boot_s, 0)
    leapt = (before.leaping or after.leaping) and abs(abs(moved) - _LEAP_S) <= limit
    return 0.0 if leapt or abs(moved) <= limit else moved


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

    def error_ns(self) -> int | None:
        """By how much the wall clock may be wrong, ns; None when it is not synchronised, or not known."""
        ...

    def look(self) -> Look:
        """All of it at one moment."""
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
    return discipline(adjtimex)[0]


def discipline(adjtimex: Adjtimex) -> tuple[bool, bool]:
    """Whether the kernel's clock is synchronised, and whether a leap second is about; False unless told."""
    timex = Timex()
    state = adjtimex(timex)
    if state < 0:
        return False, False
    leaping = state in _LEAP_STATES or bool(timex.status & _LEAP_STATUS)
    return not timex.status & _STA_UNSYNC, leaping


def read_together(wall_ns: Callable[[], int], since_boot_ns: Callable[[], int]) -> tuple[int, int]:
    """The wall clock and the time since boot at one moment, ns.

    A process that is put off between two clocks would see a step where there is none: it tries again.
    """
    best: tuple[int, int, int] | None = None
    for _ in range(_TRIES):
        before = since_boot_ns()
        wall = wall_ns()
        apart = since_boot_ns() - before
        if best is None or apart < best[0]:
            best = apart, wall, before + apart // 2
        if apart <= _APART_NS:
            break
    assert best is not None
    return best[1], best[2]


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

    def look(self) -> Look:
        """All clocks at one moment, with one call to adjtimex(2)."""
        wall_ns, since_boot_ns = read_together(time.time_ns, _since_boot_ns)
        synced, leaping = discipline(self._adjtimex)
        ahead_s = (wall_ns - since_boot_ns) / 1e9
        return Look(wall_ns // 1_000_000, since_boot_ns / 1e9, ahead_s, synced, leaping)

    def boot_id(self) -> str:
        """The kernel's boot id, or one for this process where there is none."""
        return self._boot_id


def _since_boot_ns() -> int:
    return time.clock_gettime_ns(_SINCE_BOOT)


def _read_boot_id() -> str:
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return os.urandom(16).hex()


class ManualClock:
    """A clock that moves when told to, for simulations and tests."""

    def __init__(
        self,
        wall_ms: int = 1_700_000_000_000,
        synced: bool = True,
        boot_id: str = "boot",
        since_boot_s: float = 0.0,
    ) -> None:
        self._booted_ms = wall_ms - round(since_boot_s * 1000)
        self._since_boot_s = since_boot_s
        self._boot_id = boot_id
        self.is_synced = synced
        self.is_leaping = False

    def advance(self, seconds: float) -> None:
        """Move both clocks on."""
        self._since_boot_s += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock alone, as a synchronisation does."""
        self._booted_ms += round(seconds * 1000)

    def reboot(self, wall_ms: int, boot_id: str, synced: bool = False) -> None:
        """Start a new boot, with the wall clock that the machine woke up with."""
        self._booted_ms, self._since_boot_s, self._boot_id, self.is_synced = wall_ms, 0.0, boot_id, synced

    def wall_ms(self) -> int:
        """The wall clock, ms."""
        return self._booted_ms + round(self._since_boot_s * 1000)

    def monotonic(self) -> float:
        """Seconds since the boot that it plays."""
        return self._since_boot_s

    def synced(self) -> bool:
        """What ``is_synced`` was set to."""
        return self.is_synced

    def error_ns(self) -> int | None:
        """1 ms while it is synchronised."""
        return 1_000_000 if self.is_synced else None

    def look(self) -> Look:
        """All of it now."""
        ahead_s = self._booted_ms / 1000
        return Look(self.wall_ms(), self._since_boot_s, ahead_s, self.is_synced, self.is_leaping)

    def boot_id(self) -> str:
        """The name given to this boot."""
        return self._boot_id
