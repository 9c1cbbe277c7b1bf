"""Rollups for a reader: stored ones where they are complete, computed from the chunks elsewhere (pure).

Both give the same figures. A stored rollup counts when the pass is past its period and no mark says that
its chunks became more; what nobody has rolled up yet, or what was silent, is asked of the chunks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from cloud import rollup_item
from cloud.buckets import FINE, HOUR, STEPS, Step
from cloud.rollup_cursor import Cursor
from cloud.rollup_item import Rollup
from edge_agent.contract import Batch


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the rollups of a gateway can be believed."""

    done_ms: int
    """All periods that ended by then are rolled up."""
    dirty_hours: frozenset[int]
    """Hours, by their start in ms, with chunks that came after."""

    def holds(self, step: Step, start_ms: int) -> bool:
        """Whether a stored rollup of that period knows all its chunks."""
        end_ms = start_ms + step.length_ms
        hours = range(HOUR.start(start_ms), end_ms, HOUR.length_ms)
        return end_ms <= self.done_ms and self.dirty_hours.isdisjoint(hours)


def standing(cursors: Iterable[Cursor], dirty_hours: Collection[int]) -> Standing:
    """The standing that the slowest pass and a gateway's marks leave; without a pass nothing counts."""
    return Standing(min((each.done_ms for each in cursors), default=0), frozenset(dirty_hours))


def open_ranges(
    step: Step, since_ms: int, until_ms: int, stored: Collection[int]
) -> Iterator[tuple[int, int]]:
    """[since, until) of the neighbouring periods that have no stored rollup, oldest first."""
    begun: int | None = None
    for start_ms in step.starts(since_ms, until_ms):
        if start_ms in stored:
            if begun is not None:
                yield begun, start_ms
            begun = None
        elif begun is None:
            begun = start_ms
    if begun is not None:
        yield begun, step.start(until_ms - 1) + step.length_ms


def of_chunks(
    gateway: str, batches: Iterable[Batch], step: Step, since_ms: int, until_ms: int
) -> list[Rollup]:
    """The rollups that the pass will make of these batches, oldest first."""
    found = rollup_item.of_batches(gateway, batches, since_ms, until_ms)
    for coarser in (each for each in STEPS.values() if FINE.length_ms < each.length_ms <= step.length_ms):
        found = rollup_item.combine(found, coarser)
    return found
