"""The journal: readings that wait to be sealed, in files of a fixed size, a few readings to a frame."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from edge_agent.spool.disk import Disk
from edge_agent.spool.files import Reader, adopt, remove, write_new
from edge_agent.spool.frame import encode_frame, frame_at
from edge_agent.spool.layout import JOURNAL, name_of
from edge_agent.spool.records import Record, Rows, decode_change, decode_rows, encode_change, pack_rows
from edge_agent.spool.state import State

FRAME_READINGS = 16
"""Readings in a frame: what one damaged byte can cost."""

Framed = tuple[Rows | None, bytes]
"""A frame, and the readings in it."""


@dataclass(slots=True)
class JournalFile:
    """A file and where its frames of readings lie."""

    name: str
    size: int
    used: int = 0
    end: int = 0
    """Behind the last number in it."""
    start: int = -1
    """Where it begins; what an older file has of this number or a later one is void. -1: not known."""
    firsts: array[int] = field(default_factory=lambda: array("Q"))
    offsets: array[int] = field(default_factory=lambda: array("I"))
    lengths: array[int] = field(default_factory=lambda: array("I"))
    ends: array[int] = field(default_factory=lambda: array("Q"))

    def note(self, first: int, end: int, offset: int, length: int) -> None:
        """Remember a frame of readings."""
        self.firsts.append(first)
        self.offsets.append(offset)
        self.lengths.append(length)
        self.ends.append(end)
        self.end = max(self.end, end)

    def take(self, frames: Sequence[Framed]) -> None:
        """Remember frames that were written at the end."""
        for rows, frame in frames:
            if rows:
                self.note(rows.first, rows.end, self.used, len(frame))
            self.used += len(frame)

    def void_from(self, first: int) -> None:
        """Forget what a later file has anew."""
        while self.firsts and self.firsts[-1] >= first:
            for column in (self.firsts, self.offsets, self.lengths, self.ends):
                column.pop()
        self.end = self.ends[-1] if self.ends else 0


class Journal:
    """The files in order; the last one is written to, unless it is ``spoilt``."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._reader = Reader(disk)
        self.files: list[JournalFile] = []
        self.spoilt = True
        """Whether the last file must not be written to: a write to it failed, or its end is damaged."""

    @property
    def size(self) -> int:
        """Room that the files take."""
        return sum(each.size for each in self.files)

    def has_room(self, size: int) -> bool:
        """Whether the last file takes so many bytes more."""
        return bool(self.files) and not self.spoilt and self.files[-1].used + size < self.files[-1].size

    def begin(self, number: int, size: int, frames: Sequence[Framed]) -> None:
        """Begin another file, of which the first frame has the state."""
        file = JournalFile(name_of(JOURNAL, number), 0)
        file.size = write_new(self._disk, file.name, size, b"".join(frame for _, frame in frames))
        self.spoilt = True  # from here on the new file may be there, and voids what the old one would get
        adopt(self._disk, file.name)
        self.files.append(file)
        self.spoilt = False
        file.take(frames)

    def append(self, frames: Sequence[Framed]) -> None:
        """Write frames, durably when this returns; after a failure the file is spoilt."""
        file = self.files[-1]
        try:
            self._disk.write(file.name, file.used, b"".join(frame for _, frame in frames))
            self._disk.sync(file.name)
        except OSError:
            self.spoilt = True
            raise
        file.take(frames)

    def first_from(self, sequence: int) -> Rows | None:
        """The frame that has this number, or the next one there is.

        Raises LostRows when that frame is damaged.
        """
        for file in self.files:
            if file.end <= sequence or not file.firsts:
                continue
            for at in range(max(0, bisect_right(file.firsts, sequence) - 1), len(file.firsts)):
                rows = self._read(file, at)
                if rows is None:
                    raise LostRows(file.firsts[at], file.ends[at], f"{file.name}, byte {file.offsets[at]}")
                if rows.end > sequence:
                    return rows
        return None

    def release(self, sequence: int) -> None:
        """Remove the files of which every number is below; the last one stays, and what cannot be removed."""
        for file in self.files[:-1]:
            if file.end <= sequence and remove(self._disk, file.name):
                self.files.remove(file)

    def _read(self, file: JournalFile, at: int) -> Rows | None:
        frame = frame_at(self._reader.read(file.name, file.offsets[at], file.lengths[at]), 0)
        if frame is None:
            return None
        return decode_rows(frame.body) if frame.kind == Record.READINGS else decode_change(frame.body)[1]


class LostRows(Exception):
    """A frame of the journal that was whole when it was opened no longer is."""

    def __init__(self, first: int, end: int, where: str) -> None:
        super().__init__(where)
        self.first = first
        self.end = end


def reading_frames(first: int, rows: Sequence[bytes], latest_ms: int) -> list[Framed]:
    """One commit's frames."""
    frames: list[Framed] = []
    for start in range(0, len(rows), FRAME_READINGS):
        packed = pack_rows(first + start, rows[start : start + FRAME_READINGS], start, latest_ms)
        frames.append((packed, encode_frame(Record.READINGS, packed.encode())))
    return frames


def change_frame(state: State, rows: Sequence[bytes], first: int) -> Framed:
    """A change of the state together with the readings that tell of it."""
    packed = pack_rows(first, rows, 0, 0) if rows else None
    return packed, encode_frame(Record.CHANGE, encode_change(state, packed))


def size_of(frames: Sequence[Framed]) -> int:
    """Bytes of frames."""
    return sum(len(frame) for _, frame in frames)
