"""Segments: files of sealed batches, and the index of what they hold (some 20 B a batch)."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from edge_agent.spool.disk import Disk
from edge_agent.spool.files import Reader, adopt, write_new
from edge_agent.spool.frame import encode_frame, frame_at
from edge_agent.spool.layout import BATCHES, name_of
from edge_agent.spool.ranges import joined
from edge_agent.spool.records import BATCH_HEAD, BatchHead, Owner, Record, Trait, decode_batch_head

URGENT, HAS_GAP, LINKS, SENT, ACKED, GONE, ASKED = int(Trait.URGENT), int(Trait.HAS_GAP), 4, 8, 16, 32, 64
"""Marks of a batch in the index; the first two are traits of it."""


@dataclass(slots=True)
class Segment:
    """A file of batches in ascending order."""

    name: str
    size: int
    epoch: int
    used: int = 0
    level: int = 0
    """How often what it holds was made coarser."""
    origin: int = 0
    """The first number that was to go into it: its place among the others when nothing of it is whole."""
    firsts: array[int] = field(default_factory=lambda: array("Q"))
    offsets: array[int] = field(default_factory=lambda: array("I"))
    counts: array[int] = field(default_factory=lambda: array("H"))
    lengths: array[int] = field(default_factory=lambda: array("I"))
    """Of the frames."""
    marks: bytearray = field(default_factory=bytearray)
    waits: bytearray = field(default_factory=bytearray)
    """1 where the batch waits to be acknowledged."""

    @property
    def start(self) -> int:
        """The first number in it."""
        return self.firsts[0] if self.firsts else self.origin

    @property
    def end(self) -> int:
        """Behind the last number in it."""
        return self.firsts[-1] + self.counts[-1] if self.firsts else 0

    def note(self, head: BatchHead, offset: int, length: int) -> None:
        """Remember a batch, which waits."""
        self.firsts.append(head.first)
        self.offsets.append(offset)
        self.counts.append(head.count)
        self.lengths.append(length)
        self.marks.append(head.traits & (URGENT | HAS_GAP) | (LINKS if head.links else 0))
        self.waits.append(1)

    def void_from(self, first: int) -> None:
        """Forget what a later file has anew."""
        while self.firsts and self.end > first:
            for column in (self.firsts, self.offsets, self.counts, self.lengths, self.marks, self.waits):
                column.pop()

    def place(self, first: int) -> int:
        """Where the batch of this first number is, or -1."""
        at = bisect_left(self.firsts, first)
        return at if at < len(self.firsts) and self.firsts[at] == first else -1

    def spans(self, mark: int = 0) -> list[tuple[int, int]]:
        """The numbers of its batches, or of those that have a mark and are not gone, neighbours joined."""
        columns = zip(self.firsts, self.counts, self.marks, strict=True)
        chosen = (each for each in columns if not mark or (each[2] & mark and not each[2] & GONE))
        return joined((first, first + count) for first, count, _ in chosen)

    def held(self) -> int:
        """Readings of it that wait."""
        return sum(count for count, waits in zip(self.counts, self.waits, strict=True) if waits)


class Segments:
    """The files in the order of their numbers; the last one is written to, unless it is ``closed``."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._reader = Reader(disk)
        self.files: list[Segment] = []
        self.closed = True
        self.waiting = 0
        """Batches that wait."""
        self.held = 0
        """Readings in them."""
        self.acked = 0
        """Readings of batches that are acknowledged and still here."""

    @property
    def size(self) -> int:
        """Room that the files take."""
        return sum(each.size for each in self.files)

    @property
    def end(self) -> int:
        """Behind the last number that is sealed."""
        return max((each.end for each in self.files), default=0)

    def has_room(self, size: int, epoch: int) -> bool:
        """Whether the last file takes so many bytes more of this epoch."""
        if self.closed or not self.files:
            return False
        return self.files[-1].epoch == epoch and self.files[-1].used + size < self.files[-1].size

    def begin(self, number: int, size: int, owner: Owner) -> None:
        """Begin another file."""
        segment = Segment(name_of(BATCHES, number), 0, owner.epoch, origin=owner.first)
        head = encode_frame(Record.OWNER, owner.encode())
        segment.size = write_new(self._disk, segment.name, size, head)
        self.closed = True  # from here on the new file may be there, and voids what the old one would get
        adopt(self._disk, segment.name)
        segment.used = len(head)
        self.files.append(segment)
        self.closed = False

    def insert(self, segment: Segment) -> None:
        """Take in a file that is on the disk already, before the later ones."""
        at = bisect_left(self.files, segment.start, key=lambda each: each.start)
        self.files.insert(at, segment)
        self.waiting += sum(segment.waits)
        self.held += segment.held()

    def append(self, head: BatchHead, frame: bytes) -> None:
        """Write a sealed batch, durably when this returns; after a failure the file is closed.

        One at a time: so only the last one in a file can be one that the power cut off.
        """
        segment = self.files[-1]
        try:
            self._disk.write(segment.name, segment.used, frame)
            self._disk.sync(segment.name)
        except OSError:
            self.closed = True
            raise
        segment.note(head, segment.used, len(frame))
        segment.used += len(frame)
        self.waiting += 1
        self.held += head.count

    def find(self, first: int) -> tuple[Segment, int] | None:
        """The batch of this first number, unless it is gone."""
        at = bisect_right(self.files, first, key=lambda segment: segment.start) - 1
        while at >= 0 and not self.files[at].firsts:
            at -= 1
        if at < 0:
            return None
        place = self.files[at].place(first)
        return None if place < 0 or self.files[at].marks[place] & GONE else (self.files[at], place)

    def spans(self, mark: int) -> list[tuple[int, int]]:
        """The numbers of the batches that have a mark."""
        return [span for each in self.files for span in each.spans(mark)]

    def holding(self, number: int) -> tuple[Segment, int] | None:
        """The batch that has this number."""
        at = bisect_right(self.files, number, key=lambda segment: segment.start) - 1
        if at < 0 or not self.files[at].firsts or number >= self.files[at].end:
            return None
        place = bisect_right(self.files[at].firsts, number) - 1
        is_in = place >= 0 and number < self.files[at].firsts[place] + self.files[at].counts[place]
        return (self.files[at], place) if is_in else None

    def read(self, segment: Segment, place: int) -> tuple[BatchHead, bytes] | None:
        """A batch as it was sealed, or None when it is damaged."""
        lies_at = segment.offsets[place], segment.lengths[place]
        frame = frame_at(self._reader.read(segment.name, *lies_at), 0)
        if frame is None or frame.kind != Record.BATCH:
            return None
        return decode_batch_head(frame.body), bytes(frame.body[BATCH_HEAD.size :])

    def waiting_places(self, newest_first: bool) -> Iterator[tuple[Segment, int]]:
        """The batches that wait, in order."""
        for segment in reversed(self.files) if newest_first else self.files:
            find = segment.waits.rfind if newest_first else segment.waits.find
            at = find(1)
            while at >= 0:
                yield segment, at
                at = find(1, 0, at) if newest_first else find(1, at + 1)

    def settle(self, segment: Segment, place: int, mark: int) -> int:
        """Mark a batch as acknowledged or gone; the readings that no longer wait."""
        count, was = segment.counts[place], segment.waits[place]
        if mark == GONE and segment.marks[place] & ACKED:
            self.acked -= count
            segment.marks[place] &= ~ACKED
        segment.marks[place] = segment.marks[place] & ~ASKED | mark
        segment.waits[place] = 0
        if was:
            self.waiting -= 1
            self.held -= count
            if mark == ACKED:
                self.acked += count
        return count if was else 0

    def revive(self, segment: Segment, place: int) -> None:
        """Let an acknowledged batch wait again."""
        if segment.marks[place] & ACKED:
            segment.marks[place] &= ~ACKED
            segment.waits[place] = 1
            self.acked -= segment.counts[place]
            self.held += segment.counts[place]
            self.waiting += 1

    def forget(self, names: set[str]) -> None:
        """Leave files out of the index."""
        self.files = [each for each in self.files if each.name not in names]
        self.closed = self.closed or not self.files
