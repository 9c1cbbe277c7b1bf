"""Small files of the kernel, read without trust: one value each, or nothing."""

from __future__ import annotations

from pathlib import Path

_LONGEST = 64
_LARGEST = 1 << 64


def text(path: Path) -> str:
    """The value, at most 64 characters of it; empty when there is none."""
    try:
        with path.open(errors="replace") as opened:
            return opened.read(_LONGEST).strip()
    except OSError:
        return ""


def number(path: Path, base: int = 10) -> int | None:
    """The value as a number from 0 to 2^64 - 1; None for anything else."""
    try:
        value = int(text(path), base)
    except ValueError:
        return None
    return value if 0 <= value < _LARGEST else None
