"""Gaps found by reading all stored batches of a gateway, without waiting for the rollup pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from cloud.gaps_state import Gaps, observe, union
from cloud.gaps_store import GapStore
from cloud.keys import DAY_MS
from edge_agent.contract import MAX_SPAN_MS, Batch

AHEAD_MS = DAY_MS
"""So far into the future batches are looked for: a gateway's clock may be ahead."""


class Reader(Protocol):
    """Reads stored batches, as ``RollupStore.batches`` does."""

    def __call__(self, gateway: str, since_ms: int, until_ms: int, slack_ms: int) -> tuple[list[Batch], int]:
        """Batches that may have readings in [since, until), and how many cannot be read."""


@dataclass(frozen=True, slots=True)
class Scanned:
    """What a scan of a gateway found."""

    gaps: Gaps
    batches: int
    unreadable: int
    """Stored batches that this version cannot read: the numbers in them look as if they were missing."""


def scan(store: GapStore, read: Reader, gateway: str, since_ms: int, now_ms: int) -> Scanned:
    """Read a gateway's batches since a time, a day in memory at once, and add what they say to its gaps."""
    found, count, unreadable = Gaps(gateway), 0, 0
    for begin_ms, end_ms in _days(since_ms, now_ms + AHEAD_MS):
        batches, broken = read(gateway, begin_ms, end_ms, 0 if count else MAX_SPAN_MS)
        found = observe(found, batches).gaps
        count, unreadable = count + len(batches), unreadable + broken
    made = store.change(gateway, lambda stored: _union(stored, found), now_ms) if found.epochs else found
    return Scanned(made, count, unreadable)


def _union(stored: Gaps, found: Gaps) -> Gaps:
    """All that either knows."""
    return union(stored, found).gaps


def _days(since_ms: int, until_ms: int) -> Iterator[tuple[int, int]]:
    while since_ms < until_ms:
        yield since_ms, min(since_ms + DAY_MS, until_ms)
        since_ms += DAY_MS
