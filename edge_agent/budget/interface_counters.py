"""What an interface has counted: every byte that passed it, whoever caused it (sysfs)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

CLASS_NET = Path("/sys/class/net")
_WRAP = 1 << 32
"""Where counters of 32 bits begin anew, as those of some drivers do."""


@dataclass(frozen=True, slots=True)
class Counters:
    """An interface's counters at one moment."""

    index: int
    """The kernel's; an interface made anew under the same name has another."""
    received: int
    sent: int


def read_counters(name: str, root: Path = CLASS_NET) -> Counters | None:
    """The counters now; None when there is no such interface, or it does not tell."""
    folder = root / name
    with suppress(OSError, ValueError):
        return Counters(
            int((folder / "ifindex").read_text()),
            int((folder / "statistics" / "rx_bytes").read_text()),
            int((folder / "statistics" / "tx_bytes").read_text()),
        )
    return None


def growth(before: Counters | None, now: Counters | None) -> int | None:
    """Bytes that passed between two looks, both directions; None where that is not known.

    A counter that went down has wrapped at 32 bits if less than half of that would have passed; else it was
    reset, as those of an interface that was made anew are.
    """
    if before is None or now is None or before.index != now.index:
        return None
    grown = 0
    for old, new in ((before.received, now.received), (before.sent, now.sent)):
        more = new - old if new >= old else new - old + _WRAP
        if new < old and not (old < _WRAP and more < _WRAP // 2):
            return None
        grown += more
    return grown
