"""Columns of whole numbers as bytes, each as wide as its largest one, and equal ones once (pure).

A byte for each column says how it is kept, then their numbers follow, little-endian. How the columns of a
kind are kept is nearly always what it was a minute before, so one compiled struct packs all of them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache

Column = Sequence[int]
Columns = Sequence[Column]

_ONCE = 16
"""Added to a width: the one number of a column that has it everywhere; a width of 0 is zero everywhere."""
_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}
_WIDTHS = (0, 1, 2, 4, 4, 8, 8, 8, 8)
"""By the bytes that a number needs."""


def pack(columns: Columns) -> bytes:
    """Columns of one length, at least one number each, none negative or longer than 64 bit; 255 at most."""
    forms, numbers, count = bytearray(), list[int](), len(columns[0])
    for column in columns:
        first = column[0]
        if column.count(first) == count:
            width = _WIDTHS[(first.bit_length() + 7) >> 3]
            forms.append(width + _ONCE)
            if width:
                numbers.append(first)
        else:
            forms.append(_WIDTHS[(max(column).bit_length() + 7) >> 3])
            numbers += column
    kept = bytes(forms)
    return b"%c%b%b" % (len(kept), kept, _layout(kept, count).pack(*numbers))


def unpack(data: bytes, at: int, count: int) -> tuple[list[Column], int]:
    """The columns at a place, so many numbers each, and where they end; raises ValueError, struct.error."""
    begin = at + 1
    forms = data[begin : begin + data[at]]
    layout = _layout(forms, count)
    numbers = layout.unpack_from(data, begin + len(forms))
    columns: list[Column] = []
    place = 0
    for form in forms:
        if form < _ONCE:
            columns.append(numbers[place : place + count])
            place += count
        elif form == _ONCE:
            columns.append((0,) * count)
        else:
            columns.append((numbers[place],) * count)
            place += 1
    return columns, begin + len(forms) + layout.size


@lru_cache(maxsize=1024)
def _layout(forms: bytes, count: int) -> struct.Struct:
    parts = []
    for form in forms:
        if form != _ONCE:
            many = count if form < _ONCE else 1
            code = _CODES.get(form % _ONCE)
            if code is None or form > _ONCE + 8:
                raise ValueError(f"a column of the form {form} is not known")
            parts.append(f"{many}{code}")
    return struct.Struct("<" + "".join(parts))
