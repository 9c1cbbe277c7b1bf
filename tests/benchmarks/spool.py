"""What the spool writes to the disk for each reading, and what a month of an outage takes, beside SQLite."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from edge_agent.contract import Flag, Link, Reading
from edge_agent.probes.simulated import LinkModel
from edge_agent.sealing import to_row
from edge_agent.spool import FolderDisk, MemoryDisk, Spool
from edge_agent.spool.disk import FILL
from edge_agent.taken import Taken
from tests.benchmarks.paired import Row

PEER = "SQLite queue, WAL, FULL"
START_MS = 1_790_000_000_000
MINUTES = 480
LINKS = 20
WRITE_BACK_S = 30
"""How old the kernel lets a dirty page become (vm.dirty_expire_centisecs)."""
DAYS, OUTAGE_LINKS, BOUND = 30, 10, 64 << 20
TOPIC_BYTES = 40


def readings(links: int, seconds: int) -> Iterator[list[Taken]]:
    """Rounds of every link, 10 s apart, as the simulated probe gives them."""
    models = {f"site-{number:02d}.wlan{number % 2}": LinkModel(1, str(number)) for number in range(links)}
    for at_s in range(0, seconds, 10):
        moments = [START_MS + at_s * 1000 + number * 400 for number in range(links)]
        yield [
            Taken(Reading(name, "echo", at_ms, model.values(at_ms), Flag(7)))
            for at_ms, (name, model) in zip(moments, models.items(), strict=True)
        ]


def ours(folder: Path, commit_s: int) -> None:
    """A spool as the agent uses it: commits, a batch sealed and acknowledged each minute."""
    disk = FolderDisk(folder / "spool")
    spool = Spool(disk, "gw-1", [], BOUND, TOPIC_BYTES)
    waiting: list[Taken] = []
    for turn, group in enumerate(readings(LINKS, MINUTES * 60), 1):
        waiting += group
        now_s = turn * 10
        if now_s % commit_s == 0:
            spool.append(waiting)
            waiting = []
        if now_s % 60 == 0:
            spool.seal(START_MS + now_s * 1000)
            batches = spool.pending(100)
            spool.sending(batches)
            for batch in batches:
                spool.ack(batch.first_sequence)
        if now_s % WRITE_BACK_S == 0:
            for name in disk.names():
                disk.sync(name)
    spool.close()


def peer(folder: Path, commit_s: int) -> None:
    """The plain choice: a row for each reading, deleted when it has arrived."""
    db = sqlite3.connect(folder / "queue.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE queue (id INTEGER PRIMARY KEY, body BLOB NOT NULL)")
    waiting: list[Taken] = []
    for turn, group in enumerate(readings(LINKS, MINUTES * 60), 1):
        waiting += group
        if turn * 10 % commit_s == 0:
            db.execute("BEGIN")
            db.executemany("INSERT INTO queue (body) VALUES (?)", [(to_row(each),) for each in waiting])
            db.execute("COMMIT")
            waiting = []
        if turn * 10 % 60 == 0:
            db.execute("DELETE FROM queue WHERE id <= (SELECT max(id) FROM queue)")
    db.close()


def written(queue: Callable[[Path, int], None], commit_s: int) -> float:
    """Bytes that a child writes to the disk for each reading, as the kernel counts them."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        command = [sys.executable, "-m", __name__, queue.__name__, folder, str(commit_s)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    figure = int(done.stdout)
    if figure == 0:
        raise RuntimeError("/var/tmp is on no disk: nothing can be measured")
    return figure / (LINKS * MINUTES * 6)


def disk_of_an_outage() -> tuple[float, float]:
    """MiB on disk of 30 days offline, from a day of readings: ours with all files, and SQLite's rows."""
    disk, rows = MemoryDisk(), 0
    spool = Spool(disk, "gw-1", [Link(f"site-{number}") for number in range(10)], BOUND, TOPIC_BYTES)
    for turn, group in enumerate(readings(OUTAGE_LINKS, 86_400), 1):
        spool.append(group)
        rows += sum(len(to_row(each)) + 4 for each in group)
        if turn % 6 == 0:
            spool.seal(START_MS + turn * 10_000, full_only=True)
    used = sum(
        len(disk.read(name, 0, disk.size(name)).rstrip(FILL))
        for name in disk.names()
        if name.startswith("batches")
    )
    others = sum(disk.size(name) for name in disk.names() if not name.startswith("batches"))
    spool.close()
    return (used * DAYS + others + (1 << 20)) / 2**20, rows * DAYS / 2**20


def rows() -> list[Row]:
    """Bytes written for each reading, and the disk that 30 days take."""
    made = [
        Row(
            f"written, commits of {commit_s} s",
            "B/reading",
            written(ours, commit_s),
            written(peer, commit_s),
            PEER,
            most=most,
        )
        for commit_s, most in ((10, 1000), (60, 300))
    ]
    mine, theirs = disk_of_an_outage()
    made.append(Row("30 days of 10 links, 10 s", "MiB", mine, theirs, PEER, most=BOUND / 2**20))
    return made


def _write_bytes() -> int:
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(lines["write_bytes"])


if __name__ == "__main__":
    before = _write_bytes()
    {"ours": ours, "peer": peer}[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
    print(_write_bytes() - before)
