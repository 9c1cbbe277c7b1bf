"""What a column of a kind is, and the columns that many kinds have alike."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a kind: stored integer x scale = value in unit."""

    name: str
    width: int
    """Bytes on the wire: 1, 2, 4 or 8."""
    unit: str
    scale: float
    null: str
    """What null means."""
    over: str = ""
    """An earlier column that this one is stored as a difference to."""

    @property
    def maximum(self) -> int:
        """The largest value that fits beside the null."""
        return int((1 << (8 * self.width)) - 2)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of reading: its name, its code on the wire and its columns."""

    name: str
    code: int
    columns: tuple[Column, ...]


def count(name: str) -> Column:
    """How many of something in a round."""
    return Column(name, 2, "1", 1, "not measured")


def micros(name: str, null: str = "no reply", over: str = "") -> Column:
    """A duration, µs; a median or maximum is stored as the difference to the minimum."""
    return Column(name, 4, "s", 1e-6, null, over)


def total(name: str, unit: str = "1", null: str = "first round, or the counter was reset") -> Column:
    """What an interface has counted since the round before."""
    return Column(name, 8, unit, 1, null)


def rate(name: str, null: str) -> Column:
    """A rate, kbit/s."""
    return Column(name, 4, "bit/s", 1e3, null)


def address() -> tuple[Column, ...]:
    """An IPv6 address, or an IPv4 one mapped into it (RFC 4291 section 2.5.5.2), in two halves."""
    return tuple(Column(f"address_{half}", 8, "1", 1, "nobody answered") for half in ("high", "low"))


def ascii_text(name: str, pieces: int) -> tuple[Column, ...]:
    """A text of ASCII in pieces of 8 characters, big-endian, padded with NUL."""
    return tuple(Column(f"{name}_{piece}", 8, "ascii", 1, "not told") for piece in range(1, pieces + 1))
