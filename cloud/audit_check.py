"""What a check of something that is made from readings has found, for the audit's report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not what it must be."""

    name: str
    detail: str


@dataclass(slots=True)
class Check:
    """One kind of thing: how many were compared, which of them differ."""

    what: str
    compared: int = 0
    open: int = 0
    """Not compared: not made yet, or made again soon."""
    undetermined: int = 0
    """Judged no further than that: they are one of several things that the readings may come to."""
    differences: list[Difference] = field(default_factory=list)
    heals: bool = False
    """Whether waiting may help."""

    def differ(self, name: str, detail: str) -> None:
        """Note a difference."""
        self.differences.append(Difference(name, detail))


def merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """[first, end) ranges as few as can be, ascending."""
    found: list[tuple[int, int]] = []
    for first, end in sorted(ranges):
        if found and first <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        elif first < end:
            found.append((first, end))
    return found


def without(ranges: Iterable[tuple[int, int]], taken: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """What of the ranges is in none of those taken."""
    given, away = merged(ranges), merged(taken)
    edges = sorted({edge for each in (*given, *away) for edge in each})
    parts = [part for part in pairwise(edges) if covers(given, part) and not covers(away, part)]
    return merged(parts)


def covers(ranges: Iterable[tuple[int, int]], part: tuple[int, int]) -> bool:
    """Whether one of the ranges holds all of a part."""
    return any(first <= part[0] and part[1] <= end for first, end in ranges)
