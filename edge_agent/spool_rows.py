"""The spool's rows and the counts kept beside them: what one transaction of the spool may do."""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import astuple, dataclass

from edge_agent.contract import Batch, ContractError
from edge_agent.sealing import Numbered, Sealed, from_row

log = logging.getLogger(__name__)


@dataclass(slots=True)
class State:
    """The one row of the state table, in its column order."""

    epoch: int
    next_sequence: int
    unsealed: int
    batches: int
    bytes: int
    acked: int
    dropped: int


class Rows:
    """The tables within a transaction; every change keeps ``state`` true, and ``save`` writes it."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._before = db.execute("SELECT * FROM state").fetchone()
        self.state = State(*self._before)

    def save(self) -> None:
        """Write the state back where it changed."""
        after = astuple(self.state)
        if after != self._before:
            names = "epoch=?, next_sequence=?, unsealed=?, batches=?, bytes=?, acked=?, dropped=?"
            self._db.execute(f"UPDATE state SET {names}", after)

    def add(self, rows: list[bytes]) -> None:
        """Readings under the next sequence numbers."""
        numbered = enumerate(rows, self.state.next_sequence)
        self._db.executemany("INSERT INTO readings VALUES (?, ?)", numbered)
        self.state.next_sequence += len(rows)
        self.state.unsealed += len(rows)
        self.state.bytes += sum(map(len, rows))

    def oldest_readings(self, limit: int) -> list[Numbered]:
        """The oldest unsealed readings; a damaged row is dropped, or it would block all that follow."""
        while True:
            query = "SELECT sequence, body FROM readings ORDER BY sequence LIMIT ?"
            rows = self._db.execute(query, (limit,)).fetchall()
            try:
                return [(sequence, from_row(body)) for sequence, body in rows]
            except ContractError:
                self._drop_damaged(rows)

    def _drop_damaged(self, rows: list[tuple[int, bytes]]) -> None:
        for sequence, body in rows:
            try:
                from_row(body)
            except ContractError as exc:
                log.error("reading %d of the spool is dropped: %s", sequence, exc)
                self._remove_reading(sequence, body)

    def replace(self, batch: Batch, payload: bytes) -> None:
        """Put a sealed batch where its readings were."""
        first, count = batch.first_sequence, len(batch.readings)
        span = (first, first + count - 1)
        query = "SELECT sum(length(body)) FROM readings WHERE sequence BETWEEN ? AND ?"
        held: int = self._db.execute(query, span).fetchone()[0]
        self._db.execute("DELETE FROM readings WHERE sequence BETWEEN ? AND ?", span)
        self._db.execute("INSERT INTO batches VALUES (?, ?, ?, ?)", (first, count, len(batch.links), payload))
        self.state.bytes += len(payload) - held
        self.state.unsealed -= count
        self.state.batches += 1

    def oldest_batches(self, limit: int) -> list[Sealed]:
        """The oldest sealed batches."""
        query = "SELECT first_sequence, payload, count FROM batches ORDER BY first_sequence LIMIT ?"
        return [Sealed(*row) for row in self._db.execute(query, (limit,))]

    def acknowledge(self, first_sequence: int) -> None:
        """Remove a batch that has arrived; none of that number is no error."""
        self.state.acked += self._remove_batch(first_sequence)[0]

    def make_room(self, max_bytes: int) -> bool:
        """Drop the oldest until the rest fits; whether link definitions went with them."""
        redefine = False
        while self.state.bytes > max_bytes and self.state.batches:
            oldest = self._db.execute("SELECT min(first_sequence) FROM batches").fetchone()[0]
            count, links = self._remove_batch(oldest)
            self.state.dropped += count
            redefine = redefine or links > 0
        while self.state.bytes > max_bytes and self.state.unsealed:
            query = "SELECT sequence, body FROM readings ORDER BY sequence LIMIT 1"
            self._remove_reading(*self._db.execute(query).fetchone())
        return redefine

    def _remove_batch(self, first_sequence: int) -> tuple[int, int]:
        query = "SELECT count, links, length(payload) FROM batches WHERE first_sequence=?"
        row = self._db.execute(query, (first_sequence,)).fetchone()
        if row is None:
            return 0, 0
        self._db.execute("DELETE FROM batches WHERE first_sequence=?", (first_sequence,))
        self.state.batches -= 1
        self.state.bytes -= row[2]
        return row[0], row[1]

    def _remove_reading(self, sequence: int, body: bytes) -> None:
        self._db.execute("DELETE FROM readings WHERE sequence=?", (sequence,))
        self.state.unsealed -= 1
        self.state.dropped += 1
        self.state.bytes -= len(body)
