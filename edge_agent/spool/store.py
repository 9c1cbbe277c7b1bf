"""The parts of an open spool and the changes that concern several of them at once."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from edge_agent.sealing import to_row
from edge_agent.spool.disk import Disk
from edge_agent.spool.files import remove
from edge_agent.spool.frame import OVERHEAD, encode_frame
from edge_agent.spool.journal import Framed, Journal, change_frame, reading_frames, size_of
from edge_agent.spool.layout import Layout
from edge_agent.spool.losses import Lost, by_epoch, counted, gap_reading, join, to_tell_again, told_of
from edge_agent.spool.marks import Marks, encode_facts
from edge_agent.spool.records import Owner, Record
from edge_agent.spool.reserve import Reserve
from edge_agent.spool.segments import ACKED, ASKED, GONE, SENT, URGENT, Segment, Segments
from edge_agent.spool.state import MOST_TOLD, State, Told

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SLACK = 2048
"""Room that appends leave in a journal file, so that a change always has a place."""


@dataclass(slots=True)
class Store:
    """Everything that is open; a method either does all of what it says or raises OSError."""

    disk: Disk
    layout: Layout
    state: State
    journal: Journal
    segments: Segments
    marks: Marks
    reserve: Reserve
    now_ms: Callable[[], int]
    make_room: Callable[[Store, int], None]
    free_some: Callable[[Store], bool]
    when_full: str = "drop-oldest"
    max_payload: int = 0
    """Bytes that a sealed batch may have."""
    frontier: int = 0
    """The first number that is not sealed."""
    appended_ms: int = 0
    """The newest time of the last readings whose clock was believed."""
    next_file: int = 1
    asides: list[str] = field(default_factory=list)
    is_in_doubt: bool = False
    """Whether only the disk tells what became of a change: then it must be read anew."""
    redefine: bool = False
    """Whether link definitions went with what was dropped."""
    torn: int = 0
    """Bytes cut off at the start."""
    damaged: int = 0
    """Bytes found damaged at the start and since."""
    urgent: dict[int, None] = field(default_factory=dict)
    asked: dict[int, None] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Room that all files take."""
        aside = sum(self.disk.size(name) for name in self.asides)
        return self.journal.size + self.segments.size + self.marks.size + self.reserve.size + aside

    @property
    def latest_ms(self) -> int:
        """The newest time that it knows of, of what came last: a clock that ran ahead once is forgotten."""
        return max(self.state.latest_ms, self.appended_ms if self.unsealed else 0)

    @property
    def unsealed(self) -> int:
        """Readings that wait to be sealed."""
        waiting = self.state.gone.missing(self.frontier, self.state.next_sequence)
        return sum(end - start for start, end in waiting)

    def append(self, rows: Sequence[bytes], latest_ms: int) -> None:
        """Put rows under the next numbers."""
        frames = reading_frames(self.state.next_sequence, rows, latest_ms)
        while not self.journal.has_room(size_of(frames) + SLACK):
            self._next_journal(size_of(frames) + SLACK)
            frames = reading_frames(self.state.next_sequence, rows, latest_ms)  # a gap may have come before
        self.journal.append(frames)
        self.state.next_sequence += len(rows)
        self.appended_ms = latest_ms or self.appended_ms
        self.note(encode_facts(Record.ACCEPTED, [(0, self.state.next_sequence)]))

    def lose(
        self,
        losses: Iterable[Lost],
        acked: Iterable[tuple[int, int]] = (),
        *,
        removing: Sequence[str] = (),
        adopting: str = "",
    ) -> None:
        """Count what is lost, let go of its numbers and have a gap reading tell of it, in one write."""
        told = list(losses)
        state = counted(self.state, told, acked)
        told += to_tell_again(state.told, told)
        gaps = by_epoch(join(told), state)
        rows = [to_row(gap_reading(each, state, self.now_ms())) for each in gaps]
        state.told = self._untold(state, gaps)
        state.removing = (*(name for name in self.state.removing if name not in removing), *removing)
        state.adopting = adopting
        self.change(state, rows)

    def change(self, state: State, rows: Sequence[bytes] = ()) -> None:
        """Make a new state durable, and the readings that come with it."""
        first = state.next_sequence
        state.next_sequence += len(rows)
        self.state.version += 1  # where this fails it may still be found by the next start
        state.version = self.state.version
        state.sealed = self.frontier
        state.forget_epochs()
        frame = change_frame(state, rows, first)
        if self.journal.has_room(len(frame[1])):
            self.journal.append([frame])
        else:
            self._begin_with(frame)
        self.state = state
        self.note(encode_frame(Record.STATE, state.encode()))

    def _begin_with(self, frame: Framed) -> None:
        """A new file that begins with a change, a small one where the disk has no room for more.

        Only the reserve is let go of for it: dropping anything would be another change.
        """
        try:
            self._begin_journal(lambda: [frame], self.layout.journal, freeing=False)
        except OSError as exc:
            if exc.errno not in FULL:
                raise
            self._begin_journal(lambda: [frame], 0, freeing=False)

    def _untold(self, state: State, gaps: Sequence[Lost]) -> tuple[Told, ...]:
        """The gap readings to keep in mind, with those that are about to be added."""
        left = [each for each in state.told if each[0] not in state.gone and not self._has_arrived(each[0])]
        new = [told_of(state.next_sequence + place, each) for place, each in enumerate(gaps)]
        return (*left, *new)[-MOST_TOLD:]

    def _has_arrived(self, number: int) -> bool:
        found = self.segments.holding(number)
        return bool(found and found[0].marks[found[1]] & ACKED)

    def number(self) -> int:
        """The number of the next file."""
        self.next_file += 1
        return self.next_file - 1

    def have_room(self, size: int, first: int) -> None:
        """Have the last file of batches take so many bytes more from this number on.

        Where room must be made for that, the frontier may be beyond the number when this returns.
        """
        while self.frontier <= first and not self.segments.has_room(size, self.state.epoch):
            self.make_room(self, self.layout.batches)
            if self.frontier <= first:
                self.create(lambda: self._begin_segment(size, first))

    def _begin_segment(self, size: int, first: int) -> None:
        owner = Owner(self.state.epoch, first, self.state.gateway)
        room = size + OVERHEAD + len(owner.encode()) + 1
        self.segments.begin(self.number(), max(self.layout.batches, room), owner)

    def _next_journal(self, least: int) -> None:
        size = max(self.layout.journal, least + 2 * len(self.state.encode()))
        self.make_room(self, size)
        self._begin_journal(self._opening, size)

    def _opening(self) -> list[Framed]:
        self.state.version += 1
        self.state.sealed = self.frontier
        return [(None, encode_frame(Record.STATE, self.state.encode()))]

    def _begin_journal(self, frames: Callable[[], list[Framed]], size: int, freeing: bool = True) -> None:
        self.create(lambda: self.journal.begin(self.number(), size, frames()), freeing=freeing)
        self.journal.release(self.frontier)

    def create(self, begin: Callable[[], None], *, freeing: bool = True) -> None:
        """Make a file, freeing what must be freed where the disk is full."""
        while True:
            try:
                begin()
                break
            except OSError as exc:
                if exc.errno not in FULL:
                    raise
                if not (self.reserve.release() or (freeing and self.free_some(self))):
                    raise
        self.reserve.restore(self.layout.max_bytes - self.size)

    def note(self, frames: bytes, durable: bool = False) -> None:
        """Append to the marks, which begin anew when they are full; only what must be durable may fail."""
        if not frames:
            return
        try:
            if not self.marks.note(frames, durable):
                self.begin_marks(frames)
        except OSError:
            if durable:
                raise

    def begin_marks(self, frames: bytes = b"") -> None:
        """Write all marks anew, durably."""
        self.state.sealed = self.frontier
        snapshot = self.snapshot() + frames
        size = max(self.layout.marks, 2 * len(snapshot))
        self.create(lambda: self.marks.begin(self.number(), size, snapshot), freeing=False)

    def snapshot(self) -> bytes:
        """All marks as they are now."""
        spans = self.segments.spans
        return b"".join(
            (
                encode_frame(Record.STATE, self.state.encode()),
                encode_facts(Record.ACCEPTED, [(0, self.state.next_sequence)]),
                encode_facts(Record.SENDING, spans(SENT)),
                encode_facts(Record.ACKED, spans(ACKED)),
                encode_facts(Record.ASKED, spans(ASKED)),
            )
        )

    def settle(self, segment: Segment, place: int, mark: int) -> None:
        """Mark a batch as acknowledged or gone."""
        first = segment.firsts[place]
        self.urgent.pop(first, None)
        self.asked.pop(first, None)
        self.segments.settle(segment, place, mark)

    def forget(self, names: Sequence[str]) -> None:
        """Remove segments of which every number is gone; what cannot be removed is tried again."""
        for segment in self.segments.files:
            if segment.name in names:
                for place in range(len(segment.firsts)):
                    self.settle(segment, place, GONE)
        self.segments.forget(set(names))
        gone = [name for name in (*self.state.removing, *names) if remove(self.disk, name)]
        self.state.removing = tuple(name for name in self.state.removing if name not in gone)

    def note_sealed(self, segment: Segment, start: int) -> None:
        """Remember which of the batches from this place on are urgent."""
        for place in range(start, len(segment.firsts)):
            if segment.marks[place] & URGENT and segment.waits[place]:
                self.urgent[segment.firsts[place]] = None
