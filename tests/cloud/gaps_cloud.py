"""Batches with holes between them, and what keeps and asks for the holes, on the tests' tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cloud.gaps_state import Gaps, observe
from cloud.gaps_store import GapStore
from cloud.gaps_watch import GapWatch
from cloud.resend import PublishError
from cloud.rollup_store import RollupStore
from edge_agent.contract import Batch, Loss, Reading, row
from tests.cloud.conftest import Cloud
from tests.cloud.records import EPOCH, NOW, batch, echo
from tests.cloud.rollup_cloud import Rolled

HOUR = 3_600_000
NOON = 1_795_262_400_000 + 12 * HOUR
"""2026-11-21T12:00Z."""


def sealed(first: int, count: int = 10, epoch: int = EPOCH, gateway: str = "gw-1") -> Batch:
    """Readings ``first`` and on, number n measured n seconds after an hour ago."""
    readings = [echo(at_ms=NOW - HOUR + (first + number) * 1_000) for number in range(count)]
    return batch(gateway, readings, first, epoch=epoch)


def told(
    first: int | None, count: int | None, reason: Loss = Loss.FULL, epoch: int = EPOCH, at_ms: int = NOW
) -> Reading:
    """A gap reading."""
    values = row(
        "gap",
        reason=int(reason),
        epoch=None if first is None else epoch,
        first_sequence=first,
        count=count,
        from_ms=NOW - 2 * HOUR,
        until_ms=NOW - HOUR,
    )
    return Reading("host", "gap", at_ms, values)


def telling(*readings: Reading, first: int = 1_000) -> Batch:
    return batch("gw-1", readings, first)


def seen(batches: Iterable[Batch], gaps: Gaps | None = None) -> Gaps:
    return observe(gaps or Gaps("gw-1"), batches).gaps


def minute(number: int, gateway: str = "gw-1") -> Batch:
    """Six readings of the ``number``th minute after noon, numbered from noon on."""
    readings = [echo(at_ms=NOON + number * 60_000 + step * 10_000) for step in range(6)]
    return batch(gateway, readings, number * 6)


class Published:
    """Keeps what is published; may fail."""

    def __init__(self, fails: bool = False) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.fails = fails

    def __call__(self, topic: str, payload: bytes) -> None:
        self.sent.append((topic, payload))
        if self.fails:
            raise PublishError("Throttling")


def store(cloud: Cloud, client: Any = None) -> GapStore:
    return GapStore(client or cloud.client, cloud.settings.readings_table, 31)


def watch(cloud: Cloud, now_ms: int, client: Any = None, **changes: Any) -> GapWatch:
    through = client or cloud.client
    read = RollupStore(through, cloud.settings.readings_table, cloud.settings.latest_table).batches
    return GapWatch(store(cloud, through), read, lambda: now_ms, 30, cloud.said.append, **changes)


def ranges(gaps: Gaps) -> list[tuple[int, int]]:
    return [(hole.first, hole.end) for _, hole in gaps.missing()]


def roll(rolled: Rolled, now_ms: int, client: Any = None, **changes: Any) -> GapWatch:
    """One pass at a moment, with the observer."""
    observer = watch(rolled.cloud, now_ms, client, **changes)
    rolled.roll(now_ms, client, observers=(observer,))
    return observer
