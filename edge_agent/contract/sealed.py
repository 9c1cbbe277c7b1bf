"""A sealed batch opened but not unfolded: whole columns, and a reading only where somebody asks for it.

The ingest function takes in some hundred thousand readings a second; nearly all of them need no object of
their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from edge_agent.contract.column import Kind
from edge_agent.contract.kinds import KINDS
from edge_agent.contract.model import Batch, Flag, Link, Outcome, Reading
from edge_agent.contract.pack import pack_columns
from edge_agent.contract.table import Stored, Table

FLAGS = tuple(map(Flag, range(1 << len(Flag))))
OUTCOMES = tuple(Outcome)


class Series(NamedTuple):
    """The readings of one kind on one link within a batch."""

    kind: Kind
    link: str
    positions: Sequence[int]
    """Places in the batch, ascending, at least one."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """The series of one kind within a batch, by link; the same for all batches of one shape."""

    kind: Kind
    links: tuple[str, ...]
    positions: tuple[Sequence[int], ...]
    """Of each series its places in the batch."""
    rows: tuple[Sequence[int], ...]
    """Of each series its rows in the table of the kind."""
    whose: Sequence[int]
    """Of each row the index of its series."""
    last: Sequence[int]
    """Of each series its last place in the batch ..."""
    last_rows: Sequence[int]
    """... and its last row."""


def bundles(series: Sequence[Series], rows: Sequence[int]) -> dict[int, Bundle]:
    """The series by code of their kind."""
    found: dict[int, list[Series]] = {}
    for each in sorted(series, key=lambda each: each.link):
        found.setdefault(each.kind.code, []).append(each)
    return {code: _bundle(given, rows) for code, given in found.items()}


def _bundle(given: Sequence[Series], rows: Sequence[int]) -> Bundle:
    positions = tuple(tuple(each.positions) for each in given)
    rows_of = tuple(tuple(rows[position] for position in each) for each in positions)
    whose = [0] * sum(map(len, positions))
    for index, each in enumerate(rows_of):
        for row in each:
            whose[row] = index
    return Bundle(
        given[0].kind,
        tuple(each.link for each in given),
        positions,
        rows_of,
        whose,
        tuple(each[-1] for each in positions),
        tuple(each[-1] for each in rows_of),
    )


@dataclass(slots=True, eq=False)
class Sealed:
    """The content of a batch by columns; what it says has been checked."""

    gateway: str
    epoch: int
    first_sequence: int
    sealed_ms: int
    links: tuple[Link, ...]
    series: Sequence[Series]
    times: Sequence[int]
    """Of each reading, ms since 1970 UTC."""
    ordered: bool
    """Whether the times are known to ascend."""
    flags: Sequence[int]
    outcomes: Sequence[int]
    tables: Mapping[int, Table]
    """By code of the kind."""
    rows: Sequence[int]
    """Of each reading, its row in the table of its kind."""
    bundles: Mapping[int, Bundle]
    """The series by code of their kind."""
    first_ms: int = field(init=False)
    """Time of the earliest reading, ms."""
    last_ms: int = field(init=False)
    _batch: Batch | None = None

    def __post_init__(self) -> None:
        times = self.times
        self.first_ms, self.last_ms = (times[0], times[-1]) if self.ordered else (min(times), max(times))

    def __len__(self) -> int:
        return len(self.times)

    def newest(self, positions: Sequence[int]) -> int:
        """Of some places the one with the latest time, the last of several."""
        if self.ordered:
            return positions[-1]
        return max(positions, key=lambda position: (self.times[position], position))

    def stored(self, kind: Kind, position: int) -> Stored:
        """The columns of a reading as they are stored."""
        return self.tables[kind.code].stored(self.rows[position])

    def reading(self, series: Series, position: int) -> Reading:
        """One reading of a series."""
        return Reading(
            series.link,
            series.kind.name,
            self.times[position],
            self.tables[series.kind.code].values(self.rows[position]),
            FLAGS[self.flags[position]],
            OUTCOMES[self.outcomes[position]],
        )

    @property
    def batch(self) -> Batch:
        """All of it, unfolded once."""
        if self._batch is None:
            self._batch = self._unfold()
        return self._batch

    def _unfold(self) -> Batch:
        whose = {position: each for each in self.series for position in each.positions}
        values = {code: table.all_values() for code, table in self.tables.items()}
        readings = tuple(
            Reading(
                whose[position].link,
                whose[position].kind.name,
                at_ms,
                next(values[whose[position].kind.code]),
                FLAGS[flags],
                OUTCOMES[outcome],
            )
            for position, (at_ms, flags, outcome) in enumerate(
                zip(self.times, self.flags, self.outcomes, strict=True)
            )
        )
        return Batch(self.gateway, self.epoch, self.first_sequence, self.sealed_ms, readings, self.links)


def sealed(batch: Batch) -> Sealed:
    """The columns of a batch that has been checked."""
    places: dict[tuple[str, str], list[int]] = {}
    values: dict[str, list[Sequence[int | None]]] = {}
    rows = []
    for position, reading in enumerate(batch.readings):
        places.setdefault((reading.kind, reading.link), []).append(position)
        of_kind = values.setdefault(reading.kind, [])
        rows.append(len(of_kind))
        of_kind.append(reading.values)
    tables = {
        KINDS[name].code: Table(
            KINDS[name], len(KINDS[name].columns), len(given), b"".join(pack_columns(KINDS[name], given))
        )
        for name, given in values.items()
    }
    times = [reading.at_ms for reading in batch.readings]
    series = [Series(KINDS[kind], link, positions) for (kind, link), positions in places.items()]
    return Sealed(
        batch.gateway,
        batch.epoch,
        batch.first_sequence,
        batch.sealed_ms,
        batch.links,
        series,
        times,
        times == sorted(times),
        [int(reading.flags) for reading in batch.readings],
        [int(reading.outcome) for reading in batch.readings],
        tables,
        rows,
        bundles(series, rows),
        batch,
    )
