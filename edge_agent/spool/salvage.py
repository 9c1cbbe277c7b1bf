"""Reading files of a medium that gives back less, or something else, than was written."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from edge_agent.spool.disk import FILL, Disk
from edge_agent.spool.frame import OVERHEAD, SECTOR, Frame, Scan, is_torn, scan, size_at
from edge_agent.spool.layout import PAGE

CHUNK = 1 << 16
NOISE = b"\xff"
TRIES = 3
"""A medium that answers at the third time is not damaged."""


@dataclass(slots=True)
class Salvaged:
    """A file: its content, the frames in it, and what it lacks."""

    name: str
    data: bytes
    scan: Scan
    is_beheaded: bool
    """Whether its beginning is lost, which was durable before the file got its name."""
    is_cut: bool
    """Whether somebody cut it: it is made of whole pages, and no write goes over its end."""
    unreadable: list[int]
    """Where the sectors are that cannot be read."""

    @property
    def frames(self) -> list[Frame]:
        """What is whole."""
        return self.scan.frames

    def tail(self) -> tuple[int, int] | None:
        """What follows the last frame and is no frame."""
        start = self.frames[-1].end if self.frames else 0
        return (start, self.scan.end) if start < self.scan.end else None

    def is_tail_torn(self) -> bool:
        """Whether it may be a write that the power cut off, and nothing that was durable."""
        tail = self.tail()
        return not self.is_cut and bool(self.frames) and tail is not None and self.looks_torn(*tail)

    def looks_torn(self, start: int, end: int) -> bool:
        """Whether these bytes look like a write that was cut off rather than changed."""
        if _touches(start, end, self.unreadable):
            return False
        return is_torn(memoryview(self.data), start, end)

    def forgive(self, start: int, end: int) -> None:
        """Count bytes as torn, not as damaged."""
        self.scan.damaged = [each for each in self.scan.damaged if each[1] <= start or each[0] >= end]
        self.scan.torn += end - start

    def blame(self, start: int, end: int) -> None:
        """Count bytes as damaged, not as torn."""
        self.scan.torn = 0
        if (start, end) not in self.scan.damaged:
            self.scan.damaged.append((start, end))


def salvage(disk: Disk, name: str) -> Salvaged | None:
    """What is left of a file; None when nothing of it can be read."""
    size = disk.size(name)
    content, failed = bytearray(size), list[int]()
    for offset in range(0, size, CHUNK):
        _read_into(content, failed, disk, name, offset, min(CHUNK, size - offset))
    if size and len(failed) * SECTOR >= size:
        return None
    data = bytes(content)
    scanned = scan(data)
    _disbelieve(scanned, failed)
    is_beheaded = not scanned.frames or scanned.frames[0].offset > 0
    found = Salvaged(name, data, scanned, is_beheaded, _is_cut(data, scanned), failed)
    tail = found.tail()
    if tail and (not scanned.frames or found.is_cut):
        found.blame(*tail)
    return found


def _disbelieve(scanned: Scan, failed: list[int]) -> None:
    """Take the frames for damaged that cannot be read again, though all of them that counts was found."""
    for frame in [each for each in scanned.frames if _touches(each.offset, each.end, failed)]:
        scanned.frames.remove(frame)
        scanned.damaged.append((frame.offset, frame.end))
    scanned.damaged.sort()


def _touches(start: int, end: int, failed: list[int]) -> bool:
    return any(start - SECTOR < sector < end for sector in failed)


def _is_cut(data: bytes, scanned: Scan) -> bool:
    end = scanned.frames[-1].end if scanned.frames else 0
    rest = len(data) - end
    if not rest or len(data) % PAGE or size_at(memoryview(data), end) > rest:
        return True
    return rest < OVERHEAD and data[end:] != FILL * rest


def _read_into(content: bytearray, failed: list[int], disk: Disk, name: str, offset: int, size: int) -> None:
    """Read a part of a file, around sectors that cannot be read, of which ``failed`` gets the places."""
    for _ in range(TRIES):
        try:
            data = disk.read(name, offset, size)
        except OSError as exc:
            if exc.errno != errno.EIO:
                raise
            continue
        content[offset : offset + len(data)] = data
        return
    if size <= SECTOR:
        content[offset : offset + size] = NOISE * size
        failed.append(offset)
        return
    half = -(-size // (2 * SECTOR)) * SECTOR
    _read_into(content, failed, disk, name, offset, half)
    _read_into(content, failed, disk, name, offset + half, size - half)
