"""`linkview history --step`: a link by 5 minutes, hours or days, as figures for people and machines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.table import Table

from cloud import display
from cloud.buckets import DAY, FINE, HOUR, Step
from cloud.display import Column
from cloud.keys import DAY_MS, HOUR_MS
from cloud.rollup_item import Rollup
from cloud.rollup_summary import QUANTITIES, Measure, Summary
from edge_agent.contract import KINDS

RAW = "raw"
AUTO = "auto"
STEP_NAMES = (AUTO, RAW, FINE.name, HOUR.name, DAY.name)
_RAW_MS, _FINE_MS, _HOUR_MS = 6 * HOUR_MS, 2 * DAY_MS, 60 * DAY_MS
"""The longest ranges that are shown as readings, by 5 minutes and by hours: each a few hundred lines."""
_QUANTILES = (500, 950, 990)
_UNITS: Mapping[str, tuple[str, float, int]] = {
    "us": ("ms", 1e-3, 2),
    "kbps": ("Mbit/s", 1e-3, 3),
    "permille": ("%", 0.1, 1),
    "ck": ("K", 1e-2, 1),
}
"""By the end of a quantity's name, the unit that people read, the factor to it and its decimals."""


def step_of(name: str, since_ms: int, until_ms: int) -> Step | None:
    """The step of that name, or the one that suits a range; None for single readings."""
    span = until_ms - since_ms
    if name == AUTO:
        return None if span <= _RAW_MS else FINE if span <= _FINE_MS else HOUR if span <= _HOUR_MS else DAY
    return {FINE.name: FINE, HOUR.name: HOUR, DAY.name: DAY}.get(name)


def of_link(rollups: Iterable[Rollup], link: str, kind: str | None) -> list[tuple[Rollup, Summary]]:
    """The summaries of one link, of one kind when given."""
    return [
        (rollup, each)
        for rollup in rollups
        for each in rollup.series
        if each.link == link and kind in (None, each.kind)
    ]


def describe(rollup: Rollup, summary: Summary) -> dict[str, Any]:
    """A summary as JSON values: integers, units in the names; null where nothing was measured."""
    given: dict[str, Any] = {
        "gateway": rollup.gateway,
        "link": summary.link,
        "kind": summary.kind,
        "step": rollup.step.name,
        "start_ms": rollup.start_ms,
        "end_ms": rollup.end_ms,
        "readings": summary.readings,
        "measured": summary.measured,
        "known": summary.known,
        "down": summary.down,
        "sent": summary.sent,
        "lost": summary.lost,
    }
    for name, measure in _named(summary):
        given |= _figures(name, measure)
    return given


def _figures(name: str, measure: Measure | None) -> dict[str, int | None]:
    stem, _, unit = name.rpartition("_")
    figures: dict[str, int | None] = {
        f"{stem}_rounds": measure.rounds if measure else 0,
        f"{stem}_samples": measure.samples if measure else 0,
        f"{stem}_min_{unit}": measure.low if measure else None,
        f"{stem}_mean_{unit}": measure.mean if measure else None,
    }
    for rank in _QUANTILES:
        figures[f"{stem}_p{rank // 10}_{unit}"] = measure.quantile(rank) if measure else None
    figures[f"{stem}_max_{unit}"] = measure.high if measure else None
    return figures


def _named(summary: Summary) -> Iterator[tuple[str, Measure | None]]:
    """The quantities of a kind, also those that a stored summary does not have yet."""
    for place, quantity in enumerate(QUANTITIES.get(summary.kind, ())):
        yield quantity.name, summary.measures[place] if place < len(summary.measures) else None


def kinds(found: Iterable[tuple[Rollup, Summary]]) -> list[str]:
    """The kinds among summaries, the best first."""
    there = {summary.kind for _, summary in found}
    return [kind for kind in KINDS if kind in there]


def draw(found: Iterable[tuple[Rollup, Summary]], kind: str, title: str) -> Table:
    """The summaries of one kind as a table."""
    rows = [(rollup, summary) for rollup, summary in found if summary.kind == kind]
    counts = tuple(
        Column(name, right=True, spare=spare) for name, spare in (("readings", 0), ("measured", 3))
    )
    trips = any(summary.sent for _, summary in rows)
    columns = [Column("from"), *counts, *([Column("loss %", right=True)] if trips else [])]
    for quantity in QUANTITIES.get(kind, ()):
        columns += _headers(quantity.name, len(QUANTITIES[kind]) > 1)
    return display.table(title, columns, [_cells(rollup, summary, trips) for rollup, summary in rows])


def _headers(name: str, named: bool) -> list[Column]:
    stem, _, suffix = name.rpartition("_")
    what, unit = f"{stem} " if named else "", _UNITS[suffix][0]
    spares = (("min", 2), ("mean", 0), ("p50", 0), ("p95", 0), ("p99", 4), ("max", 1))
    return [Column(f"{what}{part} {unit}", right=True, spare=spare) for part, spare in spares]


def _cells(rollup: Rollup, summary: Summary, trips: bool) -> list[str]:
    cells = [display.utc(rollup.start_ms), f"{summary.readings:,}", f"{summary.measured:,}"]
    if trips:
        cells.append(display.percent(summary.lost, summary.sent))
    for name, measure in _named(summary):
        _, scale, digits = _UNITS[name.rpartition("_")[2]]
        figures = (
            (measure.low, measure.mean, *map(measure.quantile, _QUANTILES), measure.high)
            if measure
            else (None,) * 6
        )
        cells += (display.scaled(figure, scale, digits) for figure in figures)
    return cells
