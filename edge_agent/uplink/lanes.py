"""Which batches go next: alarms, then what was just sealed, then the backlog, and no lane starves another."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from edge_agent.budget import Purpose
from edge_agent.spool import Sealed


@dataclass(frozen=True, slots=True)
class Chosen:
    """A batch and what it is sent for: ALARM, LIVE or BACKFILL."""

    batch: Sealed
    purpose: Purpose


def reserved(window: int) -> int:
    """How many of the batches in flight may be neither all backlog nor all live."""
    return max(1, window // 4) if window > 1 else 0


def choose(
    pending: Iterable[Sealed],
    flying: Mapping[int, Purpose],
    skipped: Collection[int],
    live_from: int,
    window: int,
) -> list[Chosen]:
    """The next batches, as many as the window has room for beside those ``flying``, by first sequence.

    What was sealed from sequence ``live_from`` on is live. A part of the window is kept from the backlog, so
    that what comes does not queue behind it, and from live batches as long as there is a backlog.
    """
    lanes: dict[Purpose, list[Sealed]] = {Purpose.ALARM: [], Purpose.LIVE: [], Purpose.BACKFILL: []}
    for batch in {each.first_sequence: each for each in pending}.values():
        if batch.first_sequence not in flying and batch.first_sequence not in skipped:
            lanes[purpose(batch, live_from)].append(batch)
    in_flight = [*flying.values()]
    free = window - len(in_flight)
    shared = window - reserved(window)
    has_backlog = bool(lanes[Purpose.BACKFILL]) or Purpose.BACKFILL in in_flight
    limits = {
        Purpose.ALARM: window,
        Purpose.LIVE: shared if has_backlog else window,
        Purpose.BACKFILL: shared,
    }
    chosen: list[Chosen] = []
    for lane, batches in lanes.items():
        room = min(free - len(chosen), limits[lane] - in_flight.count(lane))
        chosen += [Chosen(batch, lane) for batch in batches[: max(0, room)]]
    return chosen


def purpose(batch: Sealed, live_from: int) -> Purpose:
    """What a batch is sent for."""
    if batch.urgent:
        return Purpose.ALARM
    return Purpose.LIVE if batch.first_sequence >= live_from else Purpose.BACKFILL
