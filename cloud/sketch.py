"""A mergeable quantile sketch with 1 % relative error, after DDSketch (Masson et al., VLDB 2019; pure).

Bucket i holds the values in (1.0202^(i-1), 1.0202^i], with (1 + 1 %) / (1 - 1 %) = 101/99 as the base.
The bounds are found with integers alone, so that a function on one processor and a reader on another
put a value into the same bucket; a logarithm does not promise that. Sketches of the same values are
equal, however they were split and merged.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MAX_VALUE = (1 << 64) - 1
"""No column of a reading is wider than 8 bytes."""
_SHIFT = 128


def _upper_bounds() -> Iterator[int]:
    """The greatest integer of each bucket; bucket 0 holds 0 alone."""
    yield 0
    bound = 1 << _SHIFT
    while bound >> _SHIFT < MAX_VALUE:
        yield bound >> _SHIFT
        bound = bound * 101 // 99
    yield MAX_VALUE


_UPPER = tuple(_upper_bounds())


@dataclass(frozen=True, slots=True)
class Sketch:
    """How many values lie in each bucket that is not empty, by bucket."""

    buckets: tuple[tuple[int, int], ...] = ()

    @property
    def count(self) -> int:
        """Number of values."""
        return sum(count for _, count in self.buckets)

    def quantile(self, permille: int) -> int | None:
        """The value at this rank (nearest rank, 500 is the median) within 1 % and one half; None of nothing.

        Raises ValueError outside 0 to 1000.
        """
        if not 0 <= permille <= 1000:
            raise ValueError(f"{permille} is no rank in 1/1000")
        # In integers: 0.07 × 100 is more than 7 in floating point.
        rank = max(-(-permille * self.count // 1000), 1)
        for bucket, count in self.buckets:
            rank -= count
            if rank <= 0:
                return _middle(bucket)
        return None


def sketch(values: Iterable[int]) -> Sketch:
    """The sketch of integers from 0 to MAX_VALUE; a greater one is in the last bucket."""
    last = len(_UPPER) - 1
    return _of(Counter(bisect_left(_UPPER, value, hi=last) for value in values))


def merged(sketches: Iterable[Sketch]) -> Sketch:
    """The sketch of all values of several sketches."""
    counts: Counter[int] = Counter()
    for each in sketches:
        for bucket, count in each.buckets:
            counts[bucket] += count
    return _of(counts)


def numbers(given: Sketch) -> list[int]:
    """The sketch as small integers to pack: buckets, first bucket and its count, then step and count."""
    found, last = [len(given.buckets)], 0
    for bucket, count in given.buckets:
        found += (bucket - last, count)
        last = bucket
    return found


def read(source: Iterator[int]) -> Sketch:
    """The sketch that ``numbers`` wrote, taken off the front; raises ValueError for anything else."""
    buckets: list[tuple[int, int]] = []
    bucket = 0
    for _ in range(_next(source)):
        step, count = _next(source), _next(source)
        bucket += step
        if not count or bucket >= len(_UPPER) or (buckets and not step):
            raise ValueError("not a sketch")
        buckets.append((bucket, count))
    return Sketch(tuple(buckets))


def _next(source: Iterator[int]) -> int:
    for value in source:
        return value
    raise ValueError("the sketch is cut short")


def _of(counts: Counter[int]) -> Sketch:
    return Sketch(tuple(sorted(counts.items())))


def _middle(bucket: int) -> int:
    """The harmonic mean of a bucket's ends, which is equally far, in per cent, from both."""
    if not bucket:
        return 0
    low, high = _UPPER[bucket - 1] + 1, _UPPER[bucket]
    return (2 * low * high + (low + high) // 2) // (low + high)
