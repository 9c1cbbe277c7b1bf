"""Ranges of a gateway's sequence numbers that are held, and the holes between them (pure).

A gateway numbers its readings without a gap; a batch tells its first number and how many it has. So a
hole is a run of numbers of one epoch between two that are held, or that the gateway says are lost. What
else is before the first number ever held, or behind the last, is none: it may never have been made, or
be on its way.

Everything here is a union of what batches say, so their order and repetition make no difference.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from operator import attrgetter

from edge_agent.contract import Batch, Loss


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Numbers ``first`` to ``end`` (not included) of one epoch that are all held."""

    first: int
    end: int
    first_ms: int
    """Earliest reading of the batch that begins it, ms."""
    last_ms: int
    """Latest reading of the batch that ends it, ms."""


@dataclass(frozen=True, slots=True)
class Told:
    """Numbers that the gateway says will never come: a gap reading."""

    first: int
    end: int
    reason: int
    from_ms: int | None
    until_ms: int | None

    @property
    def order(self) -> tuple[int, ...]:
        """A total order, for times that are not known too."""
        return self.first, self.end, self.reason, self.from_ms or -1, self.until_ms or -1


@dataclass(frozen=True, slots=True)
class Hole:
    """Numbers that are not held."""

    first: int
    end: int
    reason: int | None
    """Why, by ``Loss``; None is unknown: they may be asked for."""
    from_ms: int | None
    """When they were measured at the earliest: as told, else the last reading held before them."""
    until_ms: int | None
    """And at the latest: as told, else the first reading held after them."""

    @property
    def count(self) -> int:
        """Readings missing."""
        return self.end - self.first

    @property
    def why(self) -> str:
        """The reason in a word."""
        if self.reason is None:
            return "unknown"
        return Loss(self.reason).name.lower() if self.reason in list(Loss) else f"reason {self.reason}"


def span_of(batch: Batch) -> Span:
    """The numbers of a batch."""
    first = batch.first_sequence
    return Span(first, first + len(batch.readings), batch.first_ms, batch.last_ms)


def joined(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The same numbers in as few spans as can be, ascending; equal for every order of the same spans."""
    made: list[Span] = []
    for span in sorted(spans):
        last = made[-1] if made else None
        if last is None or span.first > last.end:
            made.append(span)
            continue
        # Times at an edge are of the batch that has it; of two with one edge, the earlier and the later.
        first_ms = min(last.first_ms, span.first_ms) if span.first == last.first else last.first_ms
        if span.end == last.end:
            last_ms = max(last.last_ms, span.last_ms)
        else:
            last_ms = max(last, span, key=attrgetter("end")).last_ms
        made[-1] = Span(last.first, max(last.end, span.end), first_ms, last_ms)
    return tuple(made)


def holes(spans: Sequence[Span], told: Sequence[Told]) -> list[Hole]:
    """What is missing, ascending: all between joined spans, outside of them what was told to be lost.

    Cut where the reason changes; of several reasons the lowest.
    """
    low = min([span.first for span in spans[:1]] + [each.first for each in told], default=0)
    high = max([span.end for span in spans[-1:]] + [each.end for each in told], default=0)
    found: list[Hole] = []
    for before, after in pairwise([None, *spans, None]):
        first, end = before.end if before else low, after.first if after else high
        for part in _parts(first, end, told):
            if part.reason is not None:
                found.append(part)
            elif before and after:
                times = sorted((before.last_ms, after.first_ms))
                found.append(Hole(part.first, part.end, None, *times))
    return found


def _parts(first: int, end: int, told: Sequence[Told]) -> Iterator[Hole]:
    """[first, end) in parts with one reason each, with the times that were told."""
    touching = [each for each in told if each.first < end and each.end > first]
    edges = {first, end, *(edge for each in touching for edge in (each.first, each.end))}
    part: Hole | None = None
    for low, high in pairwise(sorted(edge for edge in edges if first <= edge <= end)):
        over = [each for each in touching if each.first <= low < each.end]
        reason = min((each.reason for each in over), default=None)
        of_it = [each for each in over if each.reason == reason]
        from_ms = _least([each.from_ms for each in of_it] + [part.from_ms if part else None])
        until_ms = _most([each.until_ms for each in of_it] + [part.until_ms if part else None])
        if part and part.reason == reason:
            part = Hole(part.first, high, reason, from_ms, until_ms)
            continue
        if part:
            yield part
        part = Hole(
            low,
            high,
            reason,
            _least([each.from_ms for each in of_it]),
            _most([each.until_ms for each in of_it]),
        )
    if part:
        yield part


def _least(times: Iterable[int | None]) -> int | None:
    return min((each for each in times if each is not None), default=None)


def _most(times: Iterable[int | None]) -> int | None:
    return max((each for each in times if each is not None), default=None)


def is_held(spans: Sequence[Span], first: int, end: int) -> bool:
    """Whether all numbers of [first, end) are in joined spans."""
    place = bisect_right(spans, first, key=attrgetter("first")) - 1
    return place >= 0 and end <= spans[place].end


def without(told: Iterable[Told], spans: Sequence[Span]) -> list[Told]:
    """The told ranges of which some numbers are not held: what came after all needs no reason."""
    kept = {each for each in told if not is_held(spans, each.first, each.end)}
    return sorted(kept, key=attrgetter("order"))


def closed_before(spans: Sequence[Span], before_ms: int, most: int) -> tuple[tuple[Span, ...], int]:
    """Joined spans without the holes from before a time, and without the lowest of more than ``most``.

    Returns them with the numbers that are not looked for any longer.
    """
    old = sum(1 for _ in takewhile(lambda span: span.first_ms < before_ms, spans))
    keep_from = max(old - 1, len(spans) - most, 0)
    head = spans[: keep_from + 1]
    if len(head) < 2:
        return tuple(spans), 0
    given_up = sum(after.first - before.end for before, after in pairwise(head))
    one = Span(head[0].first, head[-1].end, head[0].first_ms, head[-1].last_ms)
    return (one, *spans[keep_from + 1 :]), given_up
