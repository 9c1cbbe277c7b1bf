"""The audit's look at rollups: each stored one beside the readings of its period, counted again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter

from cloud import keys, rollup_cursor, rollup_item
from cloud.audit_check import Check
from cloud.audit_figures import Figures, Tally
from cloud.audit_ledger import Row, content
from cloud.audit_wire import StoredBatch
from cloud.rollup_item import Rollup, RollupError

FINE_MS, HOUR_MS, DAY_MS = 300_000, 3_600_000, 86_400_000
LENGTHS = {"5m": FINE_MS, "1h": HOUR_MS, "1d": DAY_MS}
Place = tuple[str, int]
"""Step and start of a period."""


@dataclass(slots=True)
class Standing:
    """How far the passes say they are."""

    since_ms: int = 0
    """Whole hours and days begin here."""
    done_ms: int = 0
    """All that ended by then is rolled up; 0 when no pass has run."""
    dirty: set[tuple[str, int]] = field(default_factory=set)
    """Gateway and hour (ms) of which chunks came late, to be made again."""

    def is_dirty(self, gateway: str, start_ms: int, length_ms: int) -> bool:
        """Whether a period is to be made again."""
        hours = range(start_ms // HOUR_MS * HOUR_MS, start_ms + length_ms, HOUR_MS)
        return any((gateway, hour_ms) in self.dirty for hour_ms in hours)


@dataclass(slots=True)
class StoredRollups:
    """What the table has of rollups; chunks and items are handed in while it is read."""

    spans: Mapping[str, tuple[int, int]]
    standing: Standing = field(default_factory=Standing)
    check: Check = field(default_factory=lambda: Check("rollups"))
    _items: dict[str, list[keys.Item]] = field(default_factory=dict)
    _chunks: dict[str, dict[int, int]] = field(default_factory=dict)
    _cursors: list[rollup_cursor.Cursor] = field(default_factory=list)

    def take(self, item: keys.Item) -> bool:
        """Take an item that belongs to the rollups; says whether it does."""
        partition, sort = item[keys.PARTITION]["S"], item[keys.SORT]["S"]
        try:
            if partition == keys.CURSOR_PARTITION:
                self._cursors.append(rollup_cursor.parse(item))
                self.standing.since_ms = max(each.since_ms for each in self._cursors)
                self.standing.done_ms = min(each.done_ms for each in self._cursors)
                return True
            if partition.startswith("D#"):
                self.standing.dirty.add(keys.parse_mark(sort))
                return True
            if not partition.startswith("R#"):
                return False
            gateway, step, start_ms = keys.parse_rollup(partition, sort)
        except (ValueError, KeyError) as error:
            self.check.differ(f"item {partition} / {sort}", f"its key or content cannot be read: {error}")
            return True
        if gateway in self.spans and self._overlaps(gateway, start_ms, LENGTHS[step]):
            self._items.setdefault(gateway, []).append(item)
        return True

    def see(self, batch: StoredBatch) -> None:
        """Count a chunk in each 5 minutes that it has a reading of."""
        counts = self._chunks.setdefault(batch.gateway, {})
        for start_ms in {each.at_ms // FINE_MS * FINE_MS for each in batch.readings}:
            counts[start_ms] = counts.get(start_ms, 0) + 1

    def compare(self, rows: Iterable[Row]) -> Check:
        """Compare with the readings of all gateways, by gateway; only what is rolled up by now."""
        left = dict(self._items)
        for gateway, own in groupby(rows, key=itemgetter(0)):
            self._gateway(gateway, _recomputed(own), left.pop(gateway, []))
        for gateway, items in left.items():
            self._gateway(gateway, {}, items)
        return self.check

    def _overlaps(self, gateway: str, start_ms: int, length_ms: int) -> bool:
        first_ms, last_ms = self.spans[gateway]
        return start_ms <= last_ms and start_ms + length_ms > first_ms

    def _gateway(self, gateway: str, periods: Mapping[Place, Figures], items: Iterable[keys.Item]) -> None:
        stored = dict(self._parsed(items))
        for place in sorted(periods.keys() | stored.keys()):
            step, start_ms = place
            if not self._overlaps(gateway, start_ms, LENGTHS[step]):
                continue
            if not self._is_made(gateway, start_ms, LENGTHS[step], place in stored):
                self.check.open += 1
                continue
            self.check.compared += 1
            name = f"{gateway} {step} {datetime.fromtimestamp(start_ms / 1000, UTC):%Y-%m-%dT%H:%MZ}"
            for detail in self._differences(periods.get(place), stored.get(place), gateway, place):
                self.check.differ(name, detail)

    def _is_made(self, gateway: str, start_ms: int, length_ms: int, is_there: bool) -> bool:
        if start_ms + length_ms > self.standing.done_ms:
            return False
        begun = is_there or start_ms >= self.standing.since_ms
        return begun and not self.standing.is_dirty(gateway, start_ms, length_ms)

    def _parsed(self, items: Iterable[keys.Item]) -> Iterator[tuple[Place, Rollup]]:
        for item in items:
            try:
                rollup = rollup_item.parse(item)
            except RollupError as error:
                self.check.differ(f"item {item[keys.PARTITION]['S']} / {item[keys.SORT]['S']}", str(error))
                continue
            yield (rollup.step.name, rollup.start_ms), rollup

    def _differences(
        self, figures: Figures | None, rollup: Rollup | None, gateway: str, place: Place
    ) -> Iterator[str]:
        if rollup is None or figures is None:
            yield "is missing" if rollup is None else "nothing was generated in it"
            return
        step, start_ms = place
        counts = self._chunks.get(gateway, {})
        chunks = sum(counts.get(at, 0) for at in range(start_ms, start_ms + LENGTHS[step], FINE_MS))
        if chunks != rollup.chunks:
            yield f"chunks: recomputed {chunks}, stored {rollup.chunks}"
        given = {(each.link, each.kind): each for each in rollup.series}
        if len(given) < len(rollup.series):
            yield "a series is in it twice"
        for link, kind in sorted(given.keys() | figures.keys()):
            if (link, kind) not in given or (link, kind) not in figures:
                yield f"{link} {kind}: {'not stored' if (link, kind) in figures else 'never generated'}"
                continue
            for detail in figures[link, kind].differences(given[link, kind]):
                yield f"{link} {kind} {detail}"


def _recomputed(rows: Iterable[Row]) -> dict[Place, dict[tuple[str, str], Tally]]:
    """The figures of every period of one gateway."""
    found: dict[Place, dict[tuple[str, str], Tally]] = {}
    for _, link, kind, at_ms, text in rows:
        series = found.setdefault(("5m", at_ms // FINE_MS * FINE_MS), {})
        if (link, kind) not in series:
            series[link, kind] = Tally(kind)
        series[link, kind].count(content(text))
    for (_, start_ms), series in list(found.items()):
        for step in ("1h", "1d"):
            longer = found.setdefault((step, start_ms // LENGTHS[step] * LENGTHS[step]), {})
            for (link, kind), tally in series.items():
                longer.setdefault((link, kind), Tally(kind)).add(tally)
    return found
