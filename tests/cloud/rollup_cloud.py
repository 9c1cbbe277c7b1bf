"""Batches stored as the ingest function does it, rolled up, and counted again in plain Python."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cloud import chunk, enrich, latest, rollup_item, rollup_marks
from cloud.buckets import STEPS
from cloud.decode import Arrival
from cloud.enrich import Progress
from cloud.keys import DAY_MS
from cloud.registry import Entry
from cloud.rollup_item import Rollup
from cloud.rollup_pass import Pass
from cloud.rollup_settings import RollupSettings
from cloud.rollup_store import RollupStore
from cloud.settings import Settings
from cloud.sift import sift
from edge_agent.contract import Batch, Outcome, Reading
from tests.cloud.conftest import Clock, Cloud, patience
from tests.cloud.memory import Memory
from tests.cloud.records import envelope, records

WINDOW = 20
TOKENS = itertools.count()


@dataclass(frozen=True)
class Rolled:
    """The tables of a stack with what is needed to fill and roll them up."""

    cloud: Cloud
    said: list[Mapping[str, Any]] = field(default_factory=list)
    states: dict[str, Progress] = field(default_factory=dict)

    @property
    def settings(self) -> RollupSettings:
        """Settings with short times to live."""
        given = self.cloud.settings
        return RollupSettings("test", given.readings_table, given.latest_table, 30, WINDOW, 35, 400, 1_830)

    def arrivals(self, batches: Iterable[Batch], now_ms: int) -> list[Arrival]:
        """Batches as they arrive."""
        given = records(*(envelope(each, rx=now_ms) for each in batches))
        return sift(given, False, now_ms)[0]

    def store(self, batches: Iterable[Batch], now_ms: int, client: Any = None) -> list[Arrival]:
        """Store chunks and latest states alone."""
        arrivals = self.arrivals(batches, now_ms)
        through = client or self.cloud.client
        for each in arrivals:
            through.put_item(TableName=self.settings.readings_table, Item=chunk.pack(each, 30))
        for gateway, live in enrich.live(arrivals).items():
            progress = self.states.setdefault(gateway, Progress())
            enrich.advance(progress, live, Entry(), 7 * DAY_MS)
            item = latest.pack(gateway, progress.version, progress.image, b"")
            through.put_item(TableName=self.settings.latest_table, Item=item)
        return arrivals

    def mark(self, arrivals: Iterable[Arrival], now_ms: int) -> rollup_marks.Lateness:
        """Leave the dirty marks of what came late."""
        found = rollup_marks.lateness(arrivals, now_ms, WINDOW)
        for gateway, hour_ms in found.hours:
            item = rollup_marks.pack(gateway, hour_ms, str(next(TOKENS)), now_ms, WINDOW)
            self.cloud.client.put_item(TableName=self.cloud.settings.readings_table, Item=item)
        return found

    def deliver(self, batches: Iterable[Batch], now_ms: int) -> rollup_marks.Lateness:
        """Store and mark as the ingest function does at a moment."""
        return self.mark(self.store(batches, now_ms), now_ms)

    def roll(
        self,
        now_ms: int,
        client: Any = None,
        clock: Clock | None = None,
        share: tuple[int, int] = (0, 1),
        **changes: Any,
    ) -> Mapping[str, int]:
        """One pass at a moment over a share of the gateways; returns what it counted."""
        store = RollupStore(
            client or self.cloud.client, self.settings.readings_table, self.settings.latest_table
        )
        one = Pass(store, self.settings, self.said.append, **{"workers": 1, **changes})
        one.run(now_ms, patience(clock), *share)
        return one.counts

    def stored(self, step: str) -> dict[tuple[str, int], Any]:
        """The stored rollups of a step."""
        items = [each for each in self.cloud.items("readings") if each["p"]["S"].startswith("R#")]
        found = [rollup_item.parse(each) for each in items]
        return {(each.gateway, each.start_ms): each for each in found if each.step is STEPS[step]}

    def marks(self) -> list[str]:
        """The sort keys of the marks."""
        return [each["s"]["S"] for each in self.cloud.items("readings") if each["p"]["S"].startswith("D#")]


def in_memory() -> Rolled:
    """Tables of the test's own, in memory."""
    return Rolled(
        Cloud(Memory(), Settings("test", "readings", "latest", "registry", "quarantine", False, 30))
    )


# --- the recomputation: nothing of the code under test, only what was generated ----------------------

Figures = dict[tuple[str, int, str, str], tuple[Any, ...]]
LENGTHS = {"5m": 300_000, "1h": 3_600_000, "1d": 86_400_000}


def recomputed(batches: Iterable[Batch], step: str) -> Figures:
    """(gateway, start, link, kind) to count, measured, sent, answered, rounds, samples, sum, min and max."""
    groups: dict[tuple[str, int, str, str], list[Reading]] = defaultdict(list)
    distinct = {(each.gateway, each.epoch, each.first_sequence): each for each in batches}
    for batch in distinct.values():
        for reading in batch.readings:
            start = reading.at_ms - reading.at_ms % LENGTHS[step]
            groups[batch.gateway, start, reading.link, reading.kind].append(reading)
    return {key: _figures(found) for key, found in groups.items()}


def _figures(readings: list[Reading]) -> tuple[Any, ...]:
    measured = [each for each in readings if each.outcome == Outcome.MEASURED]
    if readings[0].kind != "echo":
        return len(readings), len(measured)
    told = [each for each in measured if each["rtt_p50_us"] is not None]
    sums = (
        sum((each["sent"] or 0) - (each["in_flight"] or 0) for each in measured),
        sum((each["received"] or 0) + (each["late"] or 0) for each in measured),
        len(told),
        sum(each["received"] or 0 for each in told),
        sum((each["rtt_mean_us"] or 0) * (each["received"] or 0) for each in told),
        min((each["rtt_min_us"] or 0 for each in told), default=None),
        max((each["rtt_max_us"] or 0 for each in told), default=None),
    )
    return len(readings), len(measured), *sums, sorted(each["rtt_p50_us"] or 0 for each in told)


def figures(rollups: Iterable[Rollup]) -> Figures:
    """The same figures of rollups; the quantiles are checked against ``recomputed`` with ``same``."""
    found: Figures = {}
    for rollup in rollups:
        for each in rollup.series:
            key = rollup.gateway, rollup.start_ms, each.link, each.kind
            if each.kind != "echo":
                found[key] = each.readings, each.measured
                continue
            measure = each.measures[0]
            sums = (
                (measure.rounds, measure.samples, measure.total, measure.low, measure.high)
                if measure
                else (0, 0, 0, None, None)
            )
            quantiles = measure and tuple(measure.sketch.quantile(rank) for rank in (0, 500, 950, 1000))
            found[key] = each.readings, each.measured, each.sent, each.answered, *sums, quantiles
    return found


def same(found: Figures, truth: Figures) -> bool:
    """Whether rollups are the recomputation: sums to the digit, quantiles within 1 % and one half."""
    if found.keys() != truth.keys():
        return False
    for key, expected in truth.items():
        if len(expected) == 2:
            if found[key] != expected:
                return False
            continue
        *sums, values = expected
        *exact, quantiles = found[key]
        if exact != sums or bool(quantiles) != bool(values):
            return False
        for rank, given in zip((0, 500, 950, 1000), quantiles or (), strict=False):
            true = values[max(-(-rank * len(values) // 1000), 1) - 1]
            if abs(given - true) * 100 > true + 50:
                return False
    return True
