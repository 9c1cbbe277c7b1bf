"""The spool: a durable, bounded queue of readings, sealed into batches once, let go on acknowledgement.

SQLite in WAL mode with synchronous=FULL: what ``append`` and ``seal`` have returned survives a power cut
(sqlite.org/pragma.html#pragma_synchronous). Readings have consecutive sequence numbers within an epoch,
which is new with each new file; what the bound drops is counted, so accepted = acked + dropped + held.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from edge_agent.contract import METERING_UNIT, Batch, Link, Reading
from edge_agent.sealing import BATCH_READINGS, LINKS_DEFINED, Numbered, Sealed, leading_group, pack, to_row
from edge_agent.spool_file import (
    MEMORY,
    SpoolBusy,
    SpoolError,
    SpoolUnusable,
    is_damage,
    open_database,
    set_aside,
    take_lock,
)
from edge_agent.spool_rows import Rows

__all__ = ["MEMORY", "Sealed", "Spool", "SpoolBusy", "SpoolError", "SpoolStats", "SpoolUnusable", "new_epoch"]


@dataclass(frozen=True, slots=True)
class SpoolStats:
    """What the spool holds and has done since its file began."""

    epoch: int
    accepted: int
    """Readings ever appended."""
    unsealed: int
    """Readings that wait to be sealed."""
    batches: int
    """Sealed batches that wait to be acknowledged."""
    bytes: int
    """Payload and row bytes held: what the bound counts."""
    acked: int
    dropped: int
    """Readings that the bound or damage has cost."""

    @property
    def held(self) -> int:
        """Readings that wait, sealed or not."""
        return self.accepted - self.acked - self.dropped


def new_epoch(now_s: float, random_bits: Callable[[int], int] = secrets.randbits) -> int:
    """A number for a new spool: its second in the high 31 bits, 32 random bits below.

    The random half keeps apart two spools that began in the same second of a wrong clock.
    """
    return (int(now_s) & 0x7FFF_FFFF) << 32 | random_bits(32)


class Spool:
    """The queue of one gateway; may be called from any thread, one call runs at a time."""

    def __init__(
        self,
        path: Path | str,
        gateway: str,
        links: Sequence[Link],
        max_bytes: int,
        topic_bytes: int,
        *,
        batch_readings: int = BATCH_READINGS,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """Open the spool at ``path``, or ":memory:"; ``topic_bytes`` is the length of the topic it goes to.

        Raises SpoolBusy or SpoolUnusable. A disk that is merely full does not keep the agent from
        starting: each call tries again.
        """
        self._path = path
        self._gateway = gateway
        self._links = tuple(links)
        self._links_due = self._links
        self._max_bytes = max_bytes
        self._max_payload = METERING_UNIT - topic_bytes
        self._batch_readings = batch_readings
        self._now_s = now_s
        self._mutex = threading.Lock()
        self._lock: int | None = None
        self._db: sqlite3.Connection | None = None
        self._epoch = 0
        """Of the file that is open; one that was set aside has another."""
        self._arrived: set[int] = set()
        """Batches that were acknowledged and could not be let go yet (disk full): not given out again."""
        try:
            self.stats()
        except (SpoolBusy, SpoolUnusable):
            self.close()
            raise
        except SpoolError:
            pass

    def append(self, readings: Sequence[Reading]) -> None:
        """Keep the readings, durably when this returns; the oldest are dropped when the spool is full.

        Raises ContractError for an impossible reading and SpoolError; then none was kept.
        """
        added = [to_row(reading) for reading in readings]
        with self._transaction() as rows:
            rows.add(added)
            redefine = rows.make_room(self._max_bytes)
        if redefine:
            self._links_due = self._links

    def seal(self, now_ms: int, full_only: bool = False) -> int:
        """Pack the unsealed readings into batches that never change again; returns how many batches.

        ``full_only`` leaves the last batch open while it has room: for times when nothing can be sent.
        """
        links_due, sealed = self._links_due, 0
        with self._transaction() as rows:
            while group := self._next_group(rows, full_only):
                readings = tuple(reading for _, reading in group)
                links = links_due[:LINKS_DEFINED]
                batch = Batch(self._gateway, rows.state.epoch, group[0][0], now_ms, readings, links)
                for part, payload in pack(batch, self._max_payload):
                    rows.replace(part, payload)
                    links_due = links_due[len(part.links) :]
                    sealed += 1
        self._links_due = links_due
        return sealed

    def pending(self, limit: int) -> list[Sealed]:
        """The oldest sealed batches, at most ``limit``."""
        with self._transaction(durable=False) as rows:
            batches = rows.oldest_batches(limit + len(self._arrived))
        return [each for each in batches if each.first_sequence not in self._arrived][:limit]

    def ack(self, first_sequence: int) -> None:
        """Let a batch go that has arrived; one that is gone already is no error.

        Not synced at once: after a power cut it is sent again, and the same bytes are the same batch.
        """
        self._arrived.add(first_sequence)
        with self._transaction(durable=False) as rows:
            arrived = self._arrived.copy()
            for each in arrived:
                rows.acknowledge(each)
        self._arrived -= arrived

    def stats(self) -> SpoolStats:
        """Counts since the file began."""
        with self._transaction(durable=False) as rows:
            state = rows.state
        return SpoolStats(
            epoch=state.epoch,
            accepted=state.next_sequence,
            unsealed=state.unsealed,
            batches=state.batches,
            bytes=state.bytes,
            acked=state.acked,
            dropped=state.dropped,
        )

    def close(self) -> None:
        """Let go of the file and of the lock on it."""
        with self._mutex:
            self._disconnect()
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def _next_group(self, rows: Rows, full_only: bool) -> list[Numbered]:
        numbered = rows.oldest_readings(self._batch_readings)
        group = leading_group(numbered)
        has_room = len(group) == len(numbered) < self._batch_readings
        return [] if full_only and has_room else group

    @contextmanager
    def _transaction(self, durable: bool = True) -> Iterator[Rows]:
        with self._mutex:
            try:
                db = self._connected()
                db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
                with _begun(db):
                    rows = Rows(db)
                    if rows.state.epoch != self._epoch:
                        self._epoch = rows.state.epoch
                        self._arrived.clear()  # they were of another file, and the numbers begin anew
                    yield rows
                    rows.save()
            except sqlite3.Error as exc:
                self._recover(exc)
                raise SpoolError(f"{self._path}: {exc}") from exc

    def _connected(self) -> sqlite3.Connection:
        if self._path != MEMORY and self._lock is None:
            self._lock = take_lock(Path(self._path))
        if self._db is None:
            now_s = self._now_s()
            self._db = open_database(self._path, self._gateway, new_epoch(now_s), now_s)
        return self._db

    def _recover(self, exc: sqlite3.Error) -> None:
        """Make the next call start afresh; a damaged file goes aside, so that it can."""
        if self._path == MEMORY:
            return
        self._disconnect()
        if is_damage(exc):
            self._links_due = self._links
            set_aside(Path(self._path), "corrupt", str(exc), self._now_s())

    def _disconnect(self) -> None:
        if self._db is not None:
            with suppress(sqlite3.Error):
                self._db.close()
            self._db = None


@contextmanager
def _begun(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise
