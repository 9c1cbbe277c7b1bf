"""The columns of one kind in a packed batch, read by the row or by the column.

The byte planes of all columns of a kind are as long as there are rows. So the bytes of one row, each number's
highest first, are every so-many-th byte of the whole: one slice, whatever the number of columns.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from edge_agent.contract.column import Kind
from edge_agent.contract.kinds import BY_CODE
from edge_agent.contract.pack import CODES

Stored = tuple[int, ...]
"""Numbers as they are stored: v + 1, 0 for null, a column over another as the difference to it."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the numbers of a row lie, for a sender that knew so many columns of a kind."""

    row: struct.Struct
    starts: tuple[int, ...]
    """Where each column begins within a row, bytes, and the width of all of them."""
    missing: Stored
    """Nulls for the columns that the sender did not know."""
    over: tuple[tuple[int, int], ...]
    """By column: index of the one that it is over, -1 for none, and its modulus."""


@cache
def _layout(code: int, given: int) -> _Layout:
    columns = BY_CODE[code].columns
    place = {column.name: index for index, column in enumerate(columns)}
    starts = [0]
    for column in columns[:given]:
        starts.append(starts[-1] + column.width)
    return _Layout(
        struct.Struct("!" + "".join(CODES[column.width] for column in columns[:given])),
        tuple(starts),
        (0,) * (len(columns) - given),
        tuple((place.get(column.over, -1), column.maximum + 1) for column in columns),
    )


class Table:
    """All readings of one kind in a batch, in the order of their numbers."""

    __slots__ = ("_data", "_layout", "kind", "rows")

    def __init__(self, kind: Kind, given: int, rows: int, data: bytes) -> None:
        self.kind = kind
        self.rows = rows
        self._layout = _layout(kind.code, given)
        self._data = data

    @staticmethod
    def size(kind: Kind, given: int, rows: int) -> int:
        """Bytes of a table with so many columns and rows."""
        return _layout(kind.code, given).starts[-1] * rows

    def stored(self, row: int) -> Stored:
        """The numbers of a row."""
        layout = self._layout
        return layout.row.unpack(self._data[row :: self.rows]) + layout.missing

    def raw(self, rows: Sequence[int]) -> list[bytes]:
        """The bytes of some rows: each column's, the highest first; `values_of` reads them again."""
        data, step = self._data, self.rows
        return [data[row::step] for row in rows]

    def column(self, index: int) -> Stored:
        """The numbers of a column."""
        layout, rows = self._layout, self.rows
        if index >= len(layout.starts) - 1:
            return (0,) * rows
        begin, width = layout.starts[index] * rows, layout.starts[index + 1] - layout.starts[index]
        return unplane(self._data[begin : begin + width * rows], rows, width)

    def planes(self, index: int) -> bytes:
        """The byte planes of a column as they came, the highest first; zeros for a missing one."""
        layout, rows = self._layout, self.rows
        if index >= len(layout.starts) - 1:
            return bytes(rows * self.kind.columns[index].width)
        return self._data[layout.starts[index] * rows : layout.starts[index + 1] * rows]

    def values(self, row: int) -> tuple[int | None, ...]:
        """The values of a row."""
        found: list[int | None] = []
        for number, (over, modulus) in zip(self.stored(row), self._layout.over, strict=True):
            base = (found[over] or 0) if over >= 0 else 0
            found.append((number - 1 + base) % modulus if number else None)
        return tuple(found)

    def all_values(self) -> Iterator[tuple[int | None, ...]]:
        """The values of every row."""
        layout, rows = self._layout, self.rows
        found: list[Sequence[int | None]] = []
        columns = zip(*map(self.stored, range(rows)), strict=True)
        for numbers, (over, modulus) in zip(columns, layout.over, strict=True):
            if over < 0:
                found.append([number - 1 if number else None for number in numbers])
                continue
            pairs = zip(numbers, found[over], strict=True)
            found.append([(number - 1 + (base or 0)) % modulus if number else None for number, base in pairs])
        return zip(*found, strict=True)


def values_of(kind: Kind, raw: bytes) -> tuple[int | None, ...]:
    """The values in the bytes of a row, of a sender that knew all columns or fewer; else ValueError."""
    given = _layout(kind.code, len(kind.columns)).starts.index(len(raw))
    return Table(kind, given, 1, raw).values(0)


def unplane(planes: bytes, count: int, width: int) -> Stored:
    """The numbers in byte planes: all first bytes, then all second, ...; struct.error when cut short."""
    if width == 1:
        return tuple(planes)
    half = len(planes) // 2
    if width == 4 and planes.startswith(bytes(half)):  # nearly always of times
        return unplane(planes[half:], count, 2)
    raw = bytearray(len(planes))
    for plane in range(width):
        raw[plane::width] = planes[plane * count : (plane + 1) * count]
    return struct.unpack(f"!{count}{CODES[width]}", raw)
