"""Generated against stored, as two multisets of readings in a temporary database: memory stays flat."""

from __future__ import annotations

import ast
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal

from cloud.audit_kinds import COLUMNS

Verdict = Literal["missing", "doubled", "altered", "unexpected"]
VERDICTS: Final[tuple[Verdict, ...]] = ("missing", "doubled", "altered", "unexpected")

Row = tuple[str, str, str, int, str]
"""Gateway, link, kind, time in ms, and the content written with repr()."""

_TABLE = "CREATE TABLE {} (gateway TEXT, link TEXT, kind TEXT, at_ms INTEGER, content TEXT)"
_TALLY = """
    SELECT * FROM (
        SELECT gateway, link, kind, at_ms, content, made, kept,
               sum(made) OVER (PARTITION BY gateway, link, kind, at_ms) AS wanted
        FROM (
            SELECT gateway, link, kind, at_ms, content, sum(made) AS made, sum(1 - made) AS kept
            FROM (SELECT *, 1 AS made FROM generated UNION ALL SELECT *, 0 AS made FROM stored)
            GROUP BY gateway, link, kind, at_ms, content
        )
    ) WHERE made <> kept ORDER BY gateway, at_ms, link, kind
"""


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
        for table in ("generated", "stored"):
            self._database.execute(_TABLE.format(table))

    def add_generated(self, rows: Iterable[Row]) -> None:
        """Add what the sources recorded as accepted."""
        self._add("generated", rows)

    def replace_stored(self, rows: Iterable[Row]) -> None:
        """Take these rows for all that the table holds."""
        self._database.execute("DELETE FROM stored")
        self._add("stored", rows)

    def _add(self, table: str, rows: Iterable[Row]) -> None:
        self._database.execute("BEGIN")
        self._database.executemany(f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?)", rows)
        self._database.execute("COMMIT")

    def spans(self) -> dict[str, tuple[int, int]]:
        """Each generating gateway with the times of its first and its last reading, ms."""
        query = "SELECT gateway, min(at_ms), max(at_ms) FROM generated GROUP BY gateway"
        return {gateway: (first, last) for gateway, first, last in self._database.execute(query)}

    def sizes(self) -> tuple[int, int]:
        """How many readings were generated, and how many are stored."""
        query = "SELECT (SELECT count(*) FROM generated), (SELECT count(*) FROM stored)"
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
