"""The spool's files: one owner at a time, damaged ones set aside, the SQLite connection set up."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import sqlite3
import time
from pathlib import Path

MEMORY = ":memory:"
SCHEMA_VERSION = 1
KEPT_ASIDE = 2
"""Files set aside that are kept for inspection; older ones are deleted, or they would fill the disk."""

_SCHEMA = """
CREATE TABLE readings (sequence INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE batches (
    first_sequence INTEGER PRIMARY KEY, count INTEGER NOT NULL, links INTEGER NOT NULL, payload BLOB NOT NULL
);
CREATE TABLE state (
    epoch INTEGER NOT NULL, next_sequence INTEGER NOT NULL, unsealed INTEGER NOT NULL,
    batches INTEGER NOT NULL, bytes INTEGER NOT NULL, acked INTEGER NOT NULL, dropped INTEGER NOT NULL
);
CREATE TABLE owner (gateway TEXT NOT NULL)
"""
_TABLES = [statement.strip() for statement in _SCHEMA.split(";\n")]
"""As SQLite keeps them in sqlite_schema, so that a schema that rotted is told from ours."""
_STATE = "SELECT next_sequence - acked - dropped, unsealed, batches, * FROM state"
_HELD = """
SELECT (SELECT count(*) FROM readings) + (SELECT total(count) FROM batches),
       (SELECT count(*) FROM readings WHERE typeof(body) = 'blob'),
       (SELECT count(*) FROM batches WHERE typeof(payload) = 'blob')
"""
_WEIGH = """
WITH held(weight) AS (SELECT
    (SELECT coalesce(sum(length(body)), 0) FROM readings)
    + (SELECT coalesce(sum(length(payload)), 0) FROM batches))
UPDATE state SET bytes = (SELECT weight FROM held) WHERE bytes <> (SELECT weight FROM held)
"""
_NEEDS_A_HUMAN = {errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

log = logging.getLogger(__name__)


class SpoolError(Exception):
    """The spool cannot do this now (disk full, read-only, I/O error); nothing was changed, try again."""


class SpoolBusy(SpoolError):
    """Another process has this spool open."""


class SpoolUnusable(SpoolError):
    """The path or its permissions are wrong: waiting does not help, somebody must change them."""


class _Damaged(Exception):
    """The file is not a spool of this gateway that can be used."""

    def __init__(self, reason: str, label: str = "corrupt") -> None:
        super().__init__(reason)
        self.label = label


def is_damage(exc: sqlite3.Error) -> bool:
    """Whether SQLite says that the file itself is broken (sqlite.org/rescode.html)."""
    return (getattr(exc, "sqlite_errorcode", 0) & 0xFF) in _DAMAGED


def take_lock(path: Path) -> int:
    """A descriptor that keeps other processes out until closed.

    The lock is on a file of its own: SQLite's own locks go when any descriptor of the database closes.
    Raises SpoolBusy, SpoolUnusable, or SpoolError where the disk alone is the obstacle.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise _refusal(path, exc) from exc
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.exists():
            os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError as exc:
        os.close(lock)
        raise _refusal(path, exc) from exc
    return lock


def _refusal(path: Path, exc: OSError) -> SpoolError:
    if exc.errno == errno.EAGAIN:
        return SpoolBusy(f"{path} is in use by another edge-agent; stop that one first")
    kind = SpoolUnusable if exc.errno in _NEEDS_A_HUMAN else SpoolError
    return kind(f"{path}: {exc.strerror}")


def open_database(path: Path | str, gateway: str, epoch: int, now_s: float) -> sqlite3.Connection:
    """The spool's database, new (under ``epoch``) when there is none that can be used.

    A damaged file or another gateway's is set aside under a name with the time and the reason logged.
    Raises sqlite3.Error for anything else, such as a full disk.
    """
    if path == MEMORY:
        return _connect(MEMORY, gateway, epoch)
    path = Path(path)
    try:
        return _connect(path, gateway, epoch)
    except _Damaged as exc:
        set_aside(path, exc.label, str(exc), now_s)
    except UnicodeDecodeError:  # Python's words for a message of SQLite that quotes the damage
        set_aside(path, "corrupt", "its schema is no text", now_s)
    except sqlite3.Error as exc:
        # The statements are sound, so that an error in one (SQLITE_ERROR) is of the file's making.
        if not is_damage(exc) and getattr(exc, "sqlite_errorcode", 0) != sqlite3.SQLITE_ERROR:
            raise
        set_aside(path, "corrupt", str(exc), now_s)
    return _connect(path, gateway, epoch)


def _connect(path: Path | str, gateway: str, epoch: int) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        # A small page cache and log: the agent lives on small machines and reads each row once.
        db.execute("PRAGMA cache_size=-256")
        db.execute("PRAGMA wal_autocheckpoint=256")
        db.execute("PRAGMA journal_size_limit=1048576")
        _prepare(db, gateway, epoch)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, gateway: str, epoch: int) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version == 0 and not db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        _create(db, gateway, epoch)
    elif version != SCHEMA_VERSION:
        raise _Damaged(f"format {version} is not known", "unknown")
    tables = db.execute("SELECT CAST(sql AS BLOB) FROM sqlite_schema").fetchall()
    if tables != [(table.encode(),) for table in _TABLES]:
        raise _Damaged("its tables are not those of a spool")
    verdict = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise _Damaged(verdict)
    owners = db.execute("SELECT CAST(gateway AS BLOB) FROM owner").fetchall()
    if owners != [(gateway.encode(),)]:
        owner = owners[0][0].decode(errors="replace") if owners else "?"
        raise _Damaged(f"it holds readings of gateway {owner}", "foreign")
    _check_state(db)


def _check_state(db: sqlite3.Connection) -> None:
    """Compare the counts kept with what is there: a wrong one would stop or drop all that follows."""
    states = db.execute(_STATE).fetchall()
    if len(states) != 1:
        raise _Damaged("its state is lost")
    counts = states[0]
    if not all(isinstance(each, int) and each >= 0 for each in counts):
        raise _Damaged("its counts are no counts")
    if counts[:3] != db.execute(_HELD).fetchone():
        raise _Damaged("its counts are not those of its rows")
    db.execute(_WEIGH)


def _create(db: sqlite3.Connection, gateway: str, epoch: int) -> None:
    db.execute("BEGIN IMMEDIATE")
    for statement in _TABLES:
        db.execute(statement)
    db.execute("INSERT INTO owner VALUES (?)", (gateway,))
    db.execute("INSERT INTO state VALUES (?, 0, 0, 0, 0, 0, 0)", (epoch,))
    db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    db.execute("COMMIT")


def set_aside(path: Path, label: str, reason: str, now_s: float) -> None:
    """Rename the database and its log out of the way and say so; raises SpoolError when it cannot be."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
    aside = _free_name(path, f"{label}-{stamp}")
    try:
        for suffix in ("", "-wal", "-shm"):
            if Path(f"{path}{suffix}").exists():
                Path(f"{path}{suffix}").rename(f"{aside}{suffix}")
        _forget_old(path, label)
    except OSError as exc:
        raise SpoolError(f"{path} cannot be set aside: {exc.strerror}") from exc
    log.error("spool %s cannot be used (%s): set aside as %s, a new one starts", path, reason, aside.name)


def _free_name(path: Path, ending: str) -> Path:
    name, tries = Path(f"{path}.{ending}"), 0
    while name.exists():
        tries += 1
        name = Path(f"{path}.{ending}.{tries}")
    return name


def _forget_old(path: Path, label: str) -> None:
    kept = sorted(
        each
        for each in path.parent.glob(f"{path.name}.{label}-*")
        if each.suffix[-4:] not in ("-wal", "-shm")
    )
    for old in kept[:-KEPT_ASIDE]:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{old}{suffix}").unlink(missing_ok=True)
