"""Names and sizes of the spool's files."""

from __future__ import annotations

import re
from dataclasses import dataclass

KIB = 1 << 10
PAGE = 4 * KIB
"""Files are whole pages: one that is not was cut by somebody else."""
JOURNAL, BATCHES, MARKS = "journal", "batches", "marks"
NEW = ".new"
ASIDE = "aside-"
SMALLEST = 128 * KIB
"""Less than this cannot be kept apart into files."""

_NAME = re.compile(r"(journal|batches|marks)-(\d{8})\.log")


@dataclass(frozen=True, slots=True)
class Layout:
    """Bytes of each sort of file: small ones, so that a spool that is little used is little written."""

    max_bytes: int
    journal: int
    batches: int
    marks: int
    reserve: int


def layout(max_bytes: int) -> Layout:
    """The sizes for a bound; raises ValueError for one that is too small."""
    if max_bytes < SMALLEST:
        raise ValueError(f"{max_bytes} B are too few for a spool; at least {SMALLEST}")
    return Layout(
        max_bytes,
        journal=_between(max_bytes // 64, 8 * KIB, 64 * KIB),
        batches=_between(max_bytes // 16, 16 * KIB, 256 * KIB),
        marks=_between(max_bytes // 256, 8 * KIB, 32 * KIB),
        reserve=_between(max_bytes // 32, 8 * KIB, 128 * KIB),
    )


def _between(size: int, low: int, high: int) -> int:
    return whole_pages(min(max(size, low), high))


def whole_pages(size: int) -> int:
    """The size of a file that holds so many bytes."""
    return -(-size // PAGE) * PAGE


def name_of(sort: str, number: int) -> str:
    """The name of a file of a sort."""
    return f"{sort}-{number:08d}.log"


def number_of(name: str) -> int:
    """The number in a name, -1 when it is no name of the spool."""
    found = _NAME.fullmatch(name.removesuffix(NEW))
    return int(found[2]) if found else -1


def sort_of(name: str) -> str:
    """The sort of a file, empty when it is none of the spool."""
    found = _NAME.fullmatch(name)
    return found[1] if found else ""
