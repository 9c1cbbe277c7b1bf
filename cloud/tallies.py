"""Round trips sent and answered, from the columns of a kind of reading (pure)."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from operator import sub
from typing import NamedTuple

from cloud.health import ANSWERS, WAITING
from edge_agent.contract import KINDS
from edge_agent.contract.sealed import Bundle
from edge_agent.contract.table import Table


@dataclass(frozen=True, slots=True)
class Counted:
    """The columns of a kind that count round trips, as indices."""

    sent: int
    replies: tuple[int, ...]
    """What came back, in time first."""
    in_flight: int | None

    @property
    def others(self) -> tuple[int, ...]:
        """Those that are zero when each reply is in time."""
        return self.replies[1:] if self.in_flight is None else (*self.replies[1:], self.in_flight)

    def trips(self, values: Sequence[int | None]) -> tuple[int, int]:
        """Round trips whose outcome is known, and how many were answered; a late reply is a reply."""
        in_flight = 0 if self.in_flight is None else values[self.in_flight] or 0
        back = 0
        for index in self.replies:
            back += values[index] or 0
        return max((values[self.sent] or 0) - in_flight, 0), back


def _counted(kind: str) -> Counted:
    at = {column.name: index for index, column in enumerate(KINDS[kind].columns)}
    waiting = at["in_flight"] if kind in WAITING else None
    return Counted(at["sent"], tuple(at[name] for name in ANSWERS[kind]), waiting)


COUNTED = {kind: _counted(kind) for kind in ANSWERS}
"""By kind of reading that counts round trips."""
_NONE: frozenset[int] = frozenset()


class Tallies(NamedTuple):
    """The round trips of all readings of one kind in a batch, by row."""

    sent: Sequence[int]
    """Whose outcome is known; none in a row that counted nothing."""
    lost: Sequence[int]
    """Below 0 where replies came late for the round before."""
    odd: Set[int]
    """Rows that lost some, or sent none."""
    every: int
    """Round trips of each row, when all have as many; else 0."""

    def tried(self, rows: Sequence[int]) -> tuple[int, ...]:
        """Round trips sent in some rows."""
        return (self.every,) * len(rows) if self.every else tuple([self.sent[row] for row in rows])

    def totals(self, bundle: Bundle) -> tuple[Sequence[int], Sequence[int]]:
        """Round trips sent and lost of each series."""
        every, sent = self.every, self.sent
        if every:
            tried = [every * len(rows) for rows in bundle.rows]
        else:
            tried = [sum([sent[row] for row in rows]) for rows in bundle.rows]
        lost = [0] * len(tried)
        for row in self.odd:
            lost[bundle.whose[row]] += self.lost[row]
        return tried, lost if min(lost) >= 0 else [max(each, 0) for each in lost]


def of(table: Table, silent: Set[int]) -> Tallies | None:
    """The round trips of a table's rows, ``silent`` those that measured nothing; None for a kind that does
    not count any."""
    counted = COUNTED.get(table.kind.name)
    if counted is None:
        return None
    plain = None if silent else _plain(counted, table)
    return plain or _each(counted, table, silent)


def _plain(counted: Counted, table: Table) -> Tallies | None:
    """The same where nothing is late, in flight or null and no round sent more than 254: nearly always.

    Such numbers are in the low one of their two byte planes, where they are compared without being read.
    """
    rows, zeros = table.rows, bytes(table.rows)
    nothing = zeros + b"\1" * rows, zeros + zeros  # 0 or null everywhere
    for index in counted.others:
        if table.planes(index) not in nothing:
            return None
    tried, back = table.planes(counted.sent), table.planes(counted.replies[0])
    if not (tried.startswith(zeros) and back.startswith(zeros)):
        return None
    tried, back = tried[rows:], back[rows:]
    if min(tried) < 2 or 0 in back:
        return None
    every = 0 if tried.strip(tried[:1]) else tried[0] - 1
    sent = (every,) * rows if every else [number - 1 for number in tried]
    if tried == back:
        return Tallies(sent, zeros, _NONE, every)
    lost = list(map(sub, tried, back))
    return Tallies(sent, lost, {row for row, number in enumerate(lost) if number}, every)


def _each(counted: Counted, table: Table, silent: Set[int]) -> Tallies:
    """The same, row by row."""
    sent, lost, odd = [], [], set()
    for row in range(table.rows):
        tried = back = 0
        values = table.values(row)
        if row not in silent and values[counted.replies[0]] is not None:
            tried, back = counted.trips(values)
        sent.append(tried)
        lost.append(tried - back)
        if not tried or back != tried:
            odd.add(row)
    return Tallies(sent, lost, odd, 0)
