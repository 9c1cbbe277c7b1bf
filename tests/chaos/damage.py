"""Damage to files at rest: bits, sectors, ends; and how much it can explain."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path

from edge_agent.spool.disk import FILL
from edge_agent.spool.frame import Frame, scan
from edge_agent.spool.records import Record, decode_batch_head, decode_change, decode_rows
from tests.chaos.medium import SECTOR, Medium, StoredFile
from tests.chaos.plan import Damage


@dataclass(frozen=True, slots=True)
class Done:
    """What was done."""

    what: Damage
    name: str
    offset: int
    size: int
    may_lose: int = 0
    """Readings in the records that it has hit."""


def strike(medium: Medium, what: Damage, rng: random.Random) -> Done:
    """Damage one file, mostly where there is something in it; all of it is durable."""
    before = {name: bytes(file.data) for name, file in medium.names.items()}
    done = _struck(medium, what, rng)
    return (
        replace(done, may_lose=readings_at(before[done.name], done.offset, done.size)) if done.name else done
    )


def flip_in_folder(folder: Path, rng: random.Random) -> int:
    """Flip one bit of one file of a real spool; how many readings that may cost."""
    files = sorted(file for file in folder.glob("*.log") if used(file.read_bytes()))
    if not files:
        return 0
    file = rng.choice(files)
    data = bytearray(file.read_bytes())
    offset = rng.randrange(used(data))
    may_lose = readings_at(bytes(data), offset, 1)
    data[offset] ^= 1 << rng.randrange(8)
    file.write_bytes(data)
    return may_lose


def used(data: bytes | bytearray) -> int:
    """Where the last byte is that was written."""
    return len(bytes(data).rstrip(FILL))


def readings_at(data: bytes, offset: int, size: int) -> int:
    """The readings in the records that these bytes are part of."""
    hit = [frame for frame in scan(data).frames if frame.offset < offset + size and frame.end > offset]
    return sum(map(_readings, hit))


def _readings(frame: Frame) -> int:
    match frame.kind:
        case Record.READINGS:
            return decode_rows(frame.body).count
        case Record.CHANGE:
            rows = decode_change(frame.body)[1]
            return rows.count if rows else 0
        case Record.BATCH:
            return decode_batch_head(frame.body).count
    return 0


def _struck(medium: Medium, what: Damage, rng: random.Random) -> Done:
    names = sorted(name for name, file in medium.names.items() if used(file.data))
    if not names:
        return Done(what, "", 0, 0)
    name = rng.choice(names)
    file = medium.names[name]
    end = used(file.data)
    offset = rng.randrange(end)
    match what:
        case Damage.BITS:
            file.data[offset] ^= 1 << rng.randrange(8)
            return Done(what, name, offset, 1)
        case Damage.SECTORS:
            start = offset // SECTOR * SECTOR
            size = min(SECTOR * rng.choice((1, 1, 8)), len(file.data) - start)
            file.data[start : start + size] = rng.choice((bytes(size), rng.randbytes(size)))
            return Done(what, name, start, size)
        case Damage.TORN:
            medium.names[name] = StoredFile(bytes(file.data[:offset]))
            medium.sync()
            return Done(what, name, offset, end - offset)
    medium.unreadable.add((name, offset // SECTOR))
    return Done(what, name, offset // SECTOR * SECTOR, SECTOR)
