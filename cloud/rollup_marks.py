"""Dirty marks: which hours of a gateway have chunks that their rollups may not know (pure).

Only what comes late leaves a mark, and only after its chunk is stored: whoever finds the mark finds the
chunk. A mark is of an hour, so the backlog of a long outage leaves few. It holds a token of its own each
time it is put, and is removed only with the token that was read before the chunks were: a chunk that
came between keeps its mark.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cloud import keys
from cloud.buckets import FINE, FINE_MS, HOUR, LEEWAY_MS, SETTLE_MS, SHORT_MS
from cloud.decode import Arrival
from cloud.keys import DAY_MS, Item
from cloud.validate import is_future


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark in the table."""

    gateway: str
    hour_ms: int
    token: str


@dataclass(frozen=True, slots=True)
class Lateness:
    """What came late among some arrivals."""

    hours: Mapping[tuple[str, int], str]
    """(gateway, hour in ms) to be marked, each with the sequence number of its first stream record."""
    late: int
    """Readings whose period may be rolled up already."""
    beyond: int
    """Of them, those older than the window: stored, but in no rollup."""


def lateness(arrivals: Iterable[Arrival], now_ms: int, window_days: int) -> Lateness:
    """What to mark for stored arrivals at ``now_ms``, when their invocation began."""
    hours: dict[tuple[str, int], str] = {}
    late = beyond = 0
    # Whatever ends before this may be rolled up before the chunk is stored.
    rolled_ms = now_ms + LEEWAY_MS - SETTLE_MS
    low, high = HOUR.start(now_ms - window_days * DAY_MS), now_ms + window_days * DAY_MS
    for arrival in arrivals:
        # What begins more than SHORT_MS before a period is not looked for there; a clock that runs ahead
        # may have died with its gateway when the period comes.
        unseen = arrival.last_ms - arrival.first_ms > SHORT_MS or is_future(arrival)
        if not unseen and FINE.start(arrival.first_ms) + FINE_MS > rolled_ms:
            continue
        for reading in arrival.batch.readings:
            is_late = FINE.start(reading.at_ms) + FINE_MS <= rolled_ms
            late += is_late
            beyond += reading.at_ms < low
            if (unseen or is_late) and low <= reading.at_ms < high:
                key = arrival.batch.gateway, HOUR.start(reading.at_ms)
                hours.setdefault(key, arrival.envelope.position.sequence)
    return Lateness(hours, late, beyond)


def pack(gateway: str, hour_ms: int, token: str, now_ms: int, window_days: int) -> Item:
    """The item of a mark; what nobody removes expires when the hour is beyond the window."""
    expires_ms = max(hour_ms, now_ms) + (window_days + 1) * DAY_MS
    return {
        keys.PARTITION: {"S": keys.mark_partition(keys.mark_shard(gateway))},
        keys.SORT: {"S": keys.mark_sort(gateway, hour_ms)},
        keys.TOKEN: {"S": token},
        keys.EXPIRES: {"N": str(expires_ms // 1000)},
    }


def parse(item: Item) -> Mark:
    """The mark in an item; raises ValueError or KeyError for anything else."""
    return Mark(*keys.parse_mark(item[keys.SORT]["S"]), token=item[keys.TOKEN]["S"])
