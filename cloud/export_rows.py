"""What an exported row is: the columns of each kind with their units, for readings and rollups (pure)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from cloud.buckets import Step
from cloud.rollup_item import Rollup
from cloud.rollup_summary import QUANTITIES, Measure, Summary
from edge_agent.contract import KINDS, Column, Flag, Reading
from edge_agent.contract.texts import address_of, mac_of, text_of

Value = str | int | float | datetime | None
Row = tuple[Value, ...]
TEXT, TIME, FLOAT = "text", "time", "float"
"""Types of a field beside the unsigned integers "uint8" to "uint64"."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SUFFIX = re.compile(r"_(us|ms|s|kbps|kib|permille|centi|ck|mhz|mv|dbm|bytes)$")
"""What a column's name says of its stored unit."""
_PIECE = re.compile(r"(.+)_(\d)$")


@dataclass(frozen=True, slots=True)
class Field:
    """A column of an exported file."""

    name: str
    type: str
    unit: str = ""
    null: str = ""
    """What an empty value means."""


@dataclass(frozen=True, slots=True)
class Schema:
    """The columns of one file."""

    stem: str
    """Name of the file, without its ending."""
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class _Cell:
    field: Field
    value: Callable[[Reading], Value]


@cache
def reading_schema(kind: str, si: bool) -> Schema:
    """The columns of the readings of a kind: stored integers, or SI values with the unit in the header."""
    head = (
        Field("gateway", TEXT),
        Field("link", TEXT),
        Field("at", TIME, "UTC"),
        Field("outcome", TEXT),
        Field("flags", TEXT),
    )
    return Schema(kind, head + tuple(cell.field for cell in _cells(kind, si)))


def reading_row(reading: Reading, gateway: str, si: bool) -> Row:
    """The row of a reading."""
    cells = (cell.value(reading) for cell in _cells(reading.kind, si))
    return (
        gateway,
        reading.link,
        moment(reading.at_ms),
        reading.outcome.name.lower(),
        _flags(reading.flags),
        *cells,
    )


def moment(at_ms: int) -> datetime:
    """A time as a value, to the millisecond."""
    return _EPOCH + timedelta(milliseconds=at_ms)


@cache
def _flags(flags: Flag) -> str:
    return "|".join(flag.name.lower() for flag in Flag if flag in flags and flag.name)


@cache
def _cells(kind: str, si: bool) -> tuple[_Cell, ...]:
    """The cells of a kind; columns that are pieces of an address or a text become that text."""
    found = []
    for place, column in enumerate(KINDS[kind].columns):
        piece = _PIECE.fullmatch(column.name) if column.unit == "ascii" else None
        if column.name == "address_high":
            found.append(_Cell(Field("address", TEXT, "", column.null), address_of))
        elif column.name == "mac":
            found.append(_Cell(Field("mac", TEXT, "", column.null), mac_of))
        elif piece and piece[2] == "1":
            found.append(_Cell(Field(piece[1], TEXT, "", column.null), _text(piece[1])))
        elif not piece and column.name != "address_low":
            found.append(_Cell(_field(column, si), _scaled(place, column) if si else _stored(place)))
    return tuple(found)


def _text(name: str) -> Callable[[Reading], Value]:
    return lambda reading: text_of(reading, name)


def _stored(place: int) -> Callable[[Reading], Value]:
    return lambda reading: reading.values[place]


def _scaled(place: int, column: Column) -> Callable[[Reading], Value]:
    """A value in SI units; a fraction by division, which is as exact as its decimal form."""
    scale = column.scale
    inverse = round(1 / scale)

    def value(reading: Reading) -> Value:
        stored = reading.values[place]
        if stored is None or scale == 1:
            return stored
        return stored / inverse if 0 < scale < 1 else float(stored * scale)

    return value


def _field(column: Column, si: bool) -> Field:
    integer = f"uint{8 * column.width}"
    if not si or (column.unit == "1" and column.scale == 1):
        return Field(column.name, integer, _unit(column), column.null)
    name = f"{_SUFFIX.sub('', column.name)} [{column.unit}]"
    return Field(name, integer if column.scale == 1 else FLOAT, column.unit, column.null)


def _unit(column: Column) -> str:
    return column.unit if column.scale == 1 else f"{column.scale:g} {column.unit}"


# --- rollups --------------------------------------------------------------------------------------

COUNTS = ("readings", "measured", "known", "down", "sent", "answered", "lost")
QUANTILES = (500, 950, 990)
"""Of the rounds' medians, in 1/1000."""
_FIGURES = ("rounds", "samples", "min", "mean", "max", *(f"p{each // 10}" for each in QUANTILES))


@cache
def rollup_schema(kind: str, step: Step) -> Schema:
    """The columns of the rollups of a kind."""
    fields = [Field("gateway", TEXT), Field("link", TEXT), Field("start", TIME, "UTC")]
    fields += (Field(name, "uint64", "1") for name in COUNTS)
    for quantity in QUANTITIES.get(kind, ()):
        fields += (
            Field(f"{quantity.name}_{figure}", "uint64", "", "nothing measured") for figure in _FIGURES
        )
    return Schema(f"{kind}-{step.name}", tuple(fields))


def rollup_rows(rollup: Rollup, kind: str | None) -> Iterator[tuple[str, Row]]:
    """The kind and row of each link and kind, or of those of one kind."""
    for summary in rollup.series:
        if kind in (None, summary.kind):
            yield summary.kind, _rollup_row(rollup, summary)


def _rollup_row(rollup: Rollup, summary: Summary) -> Row:
    counts = (getattr(summary, name) for name in COUNTS)
    width = len(QUANTITIES.get(summary.kind, ()))
    measures = (*summary.measures, *[None] * width)[:width]
    figures = (value for measure in measures for value in _figures(measure))
    return (rollup.gateway, summary.link, moment(rollup.start_ms), *counts, *figures)


def _figures(measure: Measure | None) -> Sequence[Value]:
    if measure is None:
        return (None,) * len(_FIGURES)
    quantiles = (measure.quantile(each) for each in QUANTILES)
    return (measure.rounds, measure.samples, measure.low, measure.mean, measure.high, *quantiles)
