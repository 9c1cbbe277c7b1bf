"""Generated against stored, as two multisets of readings in a temporary database: memory stays flat."""

from __future__ import annotations

import ast
import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Final, Literal

from cloud.audit_kinds import COLUMNS
from cloud.audit_wire import Content, StoredReading

Verdict = Literal["missing", "doubled", "altered", "unexpected"]
VERDICTS: Final[tuple[Verdict, ...]] = ("missing", "doubled", "altered", "unexpected")

Row = tuple[str, str, str, int, str]
"""Gateway, link, kind, time in ms, and the content written with repr()."""

StoredRow = tuple[str, str, str, int, str, bool, int]
"""The same, whether it lies within the time that the generated readings of its gateway span, and the number
of its batch."""

_COLUMNS = "gateway TEXT, link TEXT, kind TEXT, at_ms INTEGER, content TEXT"
_ROW = "gateway, link, kind, at_ms, content"
_TALLY = """
    SELECT * FROM (
        SELECT gateway, link, kind, at_ms, content, made, kept,
               sum(made) OVER (PARTITION BY gateway, link, kind, at_ms) AS wanted
        FROM (
            SELECT gateway, link, kind, at_ms, content, sum(made) AS made, sum(1 - made) AS kept
            FROM (
                SELECT *, 1 AS made FROM generated
                UNION ALL SELECT gateway, link, kind, at_ms, content, 0 AS made FROM stored WHERE inside
            )
            GROUP BY gateway, link, kind, at_ms, content
        )
    ) WHERE made <> kept ORDER BY gateway, at_ms, link, kind
"""


def content(text: str) -> list[int | None]:
    """The content that repr() wrote."""
    values: list[int | None] = json.loads(f"[{text[1:-1].rstrip(',').replace('None', 'null')}]")
    return values


@dataclass(frozen=True, slots=True)
class Offence:
    """One reading that is not in the table exactly once as it was generated."""

    verdict: Verdict
    gateway: str
    link: str
    kind: str
    at_ms: int
    detail: str = ""


class Ledger:
    """Both sides of the comparison; a reading is named by gateway, link, kind and time."""

    def __init__(self) -> None:
        # An empty name is a private database that SQLite keeps in a temporary file once it is large.
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute(f"CREATE TABLE generated ({_COLUMNS})")
        self._database.execute(f"CREATE TABLE stored ({_COLUMNS}, inside INTEGER, batch INTEGER)")

    def add_generated(self, rows: Iterable[Row]) -> None:
        """Add what the sources recorded as accepted."""
        self._add("generated VALUES (?, ?, ?, ?, ?)", rows)

    def replace_stored(self, rows: Iterable[StoredRow]) -> None:
        """Take these rows for all that the table holds of the generating gateways."""
        self._database.execute("DROP INDEX IF EXISTS stored_at")
        self._database.execute("DELETE FROM stored")
        self._add("stored VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def _add(self, target: str, rows: Iterable[Row] | Iterable[StoredRow]) -> None:
        self._database.execute("BEGIN")
        self._database.executemany(f"INSERT INTO {target}", rows)
        self._database.execute("COMMIT")

    def rows(self) -> Iterator[Row]:
        """All that was generated, and what is stored from before and after that time, by gateway."""
        outside = f"SELECT {_ROW} FROM stored WHERE NOT inside"
        query = f"SELECT {_ROW} FROM generated UNION ALL {outside} ORDER BY gateway"
        return iter(self._database.execute(query))

    def batches(self) -> Iterator[tuple[str, list[tuple[int, tuple[StoredReading, ...]]]]]:
        """By gateway, the stored batches: the number of each, and its readings as they lie in it."""
        query = "SELECT gateway, batch, link, kind, at_ms, content FROM stored ORDER BY gateway, batch, rowid"
        for gateway, rows in groupby(self._database.execute(query), key=itemgetter(0)):
            yield (
                gateway,
                [
                    (number, tuple(_reading(*each[2:]) for each in own))
                    for number, own in groupby(rows, key=itemgetter(1))
                ],
            )

    def is_stored(self, gateway: str, link: str, kind: str, at_ms: int, content: Content) -> bool:
        """Whether the table has this reading."""
        self._database.execute("CREATE INDEX IF NOT EXISTS stored_at ON stored (gateway, at_ms)")
        query = f"SELECT 1 FROM stored WHERE ({_ROW}) = (?, ?, ?, ?, ?)"
        found = self._database.execute(query, (gateway, link, kind, at_ms, repr(content)))
        return found.fetchone() is not None

    def spans(self) -> dict[str, tuple[int, int]]:
        """Each generating gateway with the times of its first and its last reading, ms."""
        query = "SELECT gateway, min(at_ms), max(at_ms) FROM generated GROUP BY gateway"
        return {gateway: (first, last) for gateway, first, last in self._database.execute(query)}

    def sizes(self) -> tuple[int, int]:
        """How many readings were generated, and how many are stored."""
        stored = "SELECT count(*) FROM stored WHERE inside"
        query = f"SELECT (SELECT count(*) FROM generated), ({stored})"
        generated, stored = self._database.execute(query).fetchone()
        return generated, stored

    def offences(self) -> Iterator[Offence]:
        """Every difference, by gateway and time."""
        rows = self._database.execute(_TALLY)
        for (gateway, at_ms, link, kind), group in groupby(
            rows, key=lambda row: (row[0], row[3], row[1], row[2])
        ):
            for verdict, detail in _judge(kind, [row[4:] for row in group]):
                yield Offence(verdict, gateway, link, kind, at_ms, detail)

    def close(self) -> None:
        """Let go of the temporary file."""
        self._database.close()


def _reading(link: str, kind: str, at_ms: int, text: str) -> StoredReading:
    return StoredReading(link, kind, at_ms, tuple(content(text)))


def _judge(kind: str, rows: list[tuple[str, int, int, int]]) -> Iterator[tuple[Verdict, str]]:
    """What is wrong with the readings of one name, from their contents with counts made, kept and wanted."""
    lacking = [content for content, made, kept, _ in rows for _ in range(made - kept)]
    for content, made, kept, wanted in rows:
        for _ in range(kept - made):
            if made:
                yield "doubled", ""
            elif lacking:
                yield "altered", _difference(kind, lacking.pop(), content)
            elif wanted:
                yield "doubled", "the other one has different values"
            else:
                yield "unexpected", ""
    for _ in lacking:
        yield "missing", ""


def _difference(kind: str, generated: str, stored: str) -> str:
    names = ("flags", "outcome", *COLUMNS[kind])
    pairs = zip(names, ast.literal_eval(generated), ast.literal_eval(stored), strict=True)
    return ", ".join(
        f"{name}: generated {ours}, stored {theirs}" for name, ours, theirs in pairs if ours != theirs
    )
