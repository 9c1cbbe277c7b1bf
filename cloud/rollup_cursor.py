"""How far the rollups are: an item that a pass leaves behind, so that the next one goes on there (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cloud import keys
from cloud.buckets import DAY, closed
from cloud.keys import HOUR_MS, Item


@dataclass(frozen=True, slots=True)
class Cursor:
    """The progress of one pass over its segment of the gateways."""

    segment: int
    segments: int
    since_ms: int
    """Rollups begin here; hours and days before it are not complete."""
    done_ms: int
    """All periods that ended by then are rolled up, for every gateway that was live."""
    until_ms: int
    """End of the periods being rolled up now; ``done_ms`` between two sweeps."""
    after: str = ""
    """The gateway in the latest table after which the sweep goes on; "" at its beginning."""
    page: int = 0
    parts: tuple[int, ...] = ()
    """How many parts of the graph each page so far has."""
    revision: int = 0
    """How often it was saved: the condition of the next saving."""

    @property
    def sweeping(self) -> bool:
        """Whether a sweep is under way."""
        return self.until_ms > self.done_ms

    def next_until(self, now_ms: int) -> int:
        """Where the next sweep would end: at most an hour on, so that one read serves its periods."""
        return min(closed(now_ms), self.done_ms + HOUR_MS)


def first(segment: int, segments: int, others: list[Cursor], now_ms: int) -> Cursor:
    """The cursor of a pass that has none yet: where the slowest other is, else the day's beginning."""
    slowest = min(others, key=lambda each: each.done_ms, default=None)
    done_ms = slowest.done_ms if slowest else DAY.start(closed(now_ms))
    since_ms = max((each.since_ms for each in others), default=done_ms)
    return Cursor(segment, segments, since_ms, done_ms, done_ms)


def seconds_behind(cursors: Iterable[Cursor], now_ms: int) -> int:
    """How late the slowest of several passes is: one that is no longer called cannot tell of itself."""
    return (closed(now_ms) - min(each.done_ms for each in cursors)) // 1000


def pack(cursor: Cursor) -> Item:
    """The item of a cursor."""
    return {
        keys.PARTITION: {"S": keys.CURSOR_PARTITION},
        keys.SORT: {"S": keys.cursor_sort(cursor.segment, cursor.segments)},
        "since": {"N": str(cursor.since_ms)},
        "done": {"N": str(cursor.done_ms)},
        "until": {"N": str(cursor.until_ms)},
        "after": {"S": cursor.after},
        "page": {"N": str(cursor.page)},
        "parts": {"L": [{"N": str(count)} for count in cursor.parts]},
        "rev": {"N": str(cursor.revision)},
    }


def parse(item: Item) -> Cursor:
    """The cursor in an item; raises ValueError or KeyError for anything else."""
    segment, segments = item[keys.SORT]["S"].split("/")
    since_ms, done_ms, until_ms, page, revision = (
        int(item[name]["N"]) for name in ("since", "done", "until", "page", "rev")
    )
    parts = tuple(int(count["N"]) for count in item["parts"]["L"])
    after = item["after"]["S"]
    return Cursor(int(segment), int(segments), since_ms, done_ms, until_ms, after, page, parts, revision)
