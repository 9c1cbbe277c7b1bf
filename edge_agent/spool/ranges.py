"""Sets of sequence numbers as ranges (pure)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class Ranges:
    """Disjoint half-open ranges in ascending order; neighbours are joined."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in ranges:
            self.add(start, end)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._starts, self._ends, strict=True))

    def __len__(self) -> int:
        return len(self._starts)

    def __contains__(self, number: int) -> bool:
        place = bisect_right(self._starts, number)
        return place > 0 and number < self._ends[place - 1]

    @property
    def total(self) -> int:
        """Numbers in it."""
        return sum(self._ends) - sum(self._starts)

    @property
    def end(self) -> int:
        """Behind the last number; 0 when there is none."""
        return self._ends[-1] if self._ends else 0

    def add(self, start: int, end: int) -> None:
        """Take in the numbers from ``start`` to before ``end``."""
        if start >= end:
            return
        low, high = bisect_left(self._ends, start), bisect_right(self._starts, end)
        if low < high:
            start, end = min(start, self._starts[low]), max(end, self._ends[high - 1])
        self._starts[low:high] = [start]
        self._ends[low:high] = [end]

    def missing(self, start: int, end: int) -> list[tuple[int, int]]:
        """The parts of a range that are not in it."""
        found: list[tuple[int, int]] = []
        at = start
        for place in range(bisect_right(self._ends, start), len(self._starts)):
            if self._starts[place] >= end:
                break
            if self._starts[place] > at:
                found.append((at, self._starts[place]))
            at = max(at, self._ends[place])
        if at < end:
            found.append((at, end))
        return found

    def without(self, start: int, end: int) -> Ranges:
        """The numbers in it that are not in a range."""
        hole = Ranges([(start, end)])
        return Ranges(part for each in self for part in hole.missing(*each))

    def copy(self) -> Ranges:
        """Another of the same numbers."""
        made = Ranges()
        made._starts, made._ends = self._starts.copy(), self._ends.copy()
        return made


def joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ascending spans with neighbours joined."""
    made: list[tuple[int, int]] = []
    for start, end in spans:
        if made and made[-1][1] == start:
            made[-1] = (made[-1][0], end)
        else:
            made.append((start, end))
    return made
