"""Reading a spool's files without changing any of them: for the start, and for who looks on."""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass, field

from edge_agent.spool.disk import Disk
from edge_agent.spool.frame import Frame, Scan, is_torn, scan, size_at
from edge_agent.spool.journal import JournalFile
from edge_agent.spool.layout import BATCHES, JOURNAL, MARKS, sort_of
from edge_agent.spool.marks import Fact, decode_facts
from edge_agent.spool.records import (
    ROWS_HEAD,
    Record,
    Rows,
    claimed_count,
    decode_batch_head,
    decode_change,
    decode_owner,
    decode_rows,
)
from edge_agent.spool.segments import Segment
from edge_agent.spool.state import State, decode_state

CHUNK = 1 << 16
SECTOR, NOISE = 512, b"\xff"
TRIES = 3
"""A medium that answers at the third time is not damaged."""
_BAD = (struct.error, ValueError, KeyError, TypeError)
MOST_CLAIMED = 4096


@dataclass(slots=True)
class Found:
    """What the files of a spool hold."""

    gateway: str
    state: State | None = None
    journal: list[JournalFile] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    """The first number that belongs into each segment."""
    facts: list[Fact] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    marks_end: int = 0
    foreign: list[str] = field(default_factory=list)
    hopeless: list[str] = field(default_factory=list)
    """Files in which nothing is whole."""
    stillborn: list[str] = field(default_factory=list)
    """Files that were made and never written to."""
    damaged: list[tuple[str, int, int]] = field(default_factory=list)
    """File, offset and end of what is damaged."""
    torn: int = 0
    latest_ms: int = 0
    claimed: int = 0
    """Behind the last number that a damaged end of the journal claims to have had."""
    is_unsure: bool = False
    """Whether numbers may have been given, and sent, that nothing tells of."""
    is_tail_clean: bool = True
    is_journal_cut: bool = False
    """Whether the newest part of the journal was longer once, by nobody knows how much."""


def read_whole(disk: Disk, name: str) -> bytes:
    """A file; a sector that cannot be read is noise. Raises OSError when nothing of it can be read."""
    size = disk.size(name)
    content, failed = bytearray(size), 0
    for offset in range(0, size, CHUNK):
        failed += _read_into(content, disk, name, offset, min(CHUNK, size - offset))
    if size and failed >= size:
        raise OSError(errno.EIO, "nothing of it can be read", name)
    return bytes(content)


def _read_into(content: bytearray, disk: Disk, name: str, offset: int, size: int) -> int:
    """Read a part of a file, around sectors that cannot be read; returns how many bytes these have."""
    for _ in range(TRIES):
        try:
            data = disk.read(name, offset, size)
        except OSError:
            continue
        content[offset : offset + len(data)] = data
        return 0
    if size <= SECTOR:
        content[offset : offset + size] = NOISE * size  # zeros would pass for a write that was cut off
        return size
    half = -(-size // (2 * SECTOR)) * SECTOR
    return _read_into(content, disk, name, offset, half) + _read_into(
        content, disk, name, offset + half, size - half
    )


def read_all(disk: Disk, gateway: str) -> Found:
    """All files in the order of their numbers."""
    found = Found(gateway)
    for name in disk.names():
        sort = sort_of(name)
        if not sort:
            continue
        data = read_whole(disk, name)
        scanned = scan(data)
        {JOURNAL: _journal, BATCHES: _batches, MARKS: _marks}[sort](found, name, data, scanned)
    _order(found)
    if ((found.journal or found.segments) and not found.marks) or (found.marks and not found.journal):
        found.is_unsure = True  # a file is missing that is always there
    if found.marks and not found.journal:
        found.is_journal_cut = True
    return found


def _note_damage(found: Found, name: str, scanned: Scan) -> None:
    found.damaged += [(name, start, end) for start, end in scanned.damaged]
    found.torn += scanned.torn
    found.is_unsure = found.is_unsure or scanned.is_cut


def _without_frames(found: Found, name: str, scanned: Scan) -> None:
    """A file that the power cut off at its beginning, or one in which everything is damaged."""
    if scanned.damaged:
        found.hopeless.append(name)
        found.is_unsure = True
    else:
        found.stillborn.append(name)


def _newer(found: Found, state: State) -> None:
    if found.state is None or state.version >= found.state.version:
        found.state = state


def _journal(found: Found, name: str, data: bytes, scanned: Scan) -> None:
    file = JournalFile(name, len(data), used=scanned.end)
    cut = _cut(data, scanned)
    states = _journal_frames(found, file, scanned, cut)
    if any(state.gateway != found.gateway for state in states):
        found.foreign.append(name)
        return
    for state in states:
        _newer(found, state)
    _note_damage(found, name, scanned)
    is_tail_damaged = bool(scanned.damaged) and scanned.damaged[-1][1] == scanned.end
    found.is_tail_clean = not (scanned.torn or is_tail_damaged or scanned.is_cut)
    found.is_journal_cut = scanned.is_cut
    if not scanned.frames:
        _without_frames(found, name, scanned)
        found.is_tail_clean = False
        return
    if is_tail_damaged:
        expected = max(file.end, max((state.next_sequence for state in states), default=0))
        found.claimed = _claimed(memoryview(data), scanned.damaged[-1][0], scanned.end, expected)
        found.is_unsure = True
    found.journal.append(file)


def _journal_frames(found: Found, file: JournalFile, scanned: Scan, cut: int) -> list[State]:
    """Take over the frames before ``cut``; returns the states among them."""
    states: list[State] = []
    for frame in scanned.frames:
        if frame.offset >= cut:
            break
        try:
            rows = _journal_frame(frame, states)
        except _BAD:
            scanned.damaged.append((frame.offset, frame.end))
            continue
        if states and not file.start:
            file.start = rows.first if rows else states[0].next_sequence
        if rows:
            file.void_from(rows.first)
            file.note(rows.first, rows.end, frame.offset, frame.end - frame.offset)
            found.latest_ms = max(found.latest_ms, rows.latest_ms)
    return states


def _journal_frame(frame: Frame, states: list[State]) -> Rows | None:
    if frame.kind == Record.STATE:
        states.append(decode_state(bytes(frame.body)))
    elif frame.kind == Record.CHANGE:
        state, rows = decode_change(frame.body)
        states.append(state)
        return rows
    elif frame.kind == Record.READINGS:
        return decode_rows(frame.body)
    return None


def _cut(data: bytes, scanned: Scan) -> int:
    """Where the last commit has a hole that was never written: what follows of it was never accepted."""
    rows = []
    for frame in scanned.frames:
        if frame.kind == Record.READINGS:
            with_head = ROWS_HEAD.unpack_from(frame.body) if len(frame.body) >= ROWS_HEAD.size else None
            if with_head:
                rows.append((with_head[0] - with_head[2], frame))
    if not rows or not scanned.damaged:
        return len(data)
    commit = rows[-1][0]
    before = [frame.end for start, frame in rows if start < commit]
    for start, end in scanned.damaged:
        if (
            start >= max(before, default=0)
            and start < rows[-1][1].offset
            and is_torn(memoryview(data), start, end)
        ):
            scanned.torn += scanned.end - start
            scanned.damaged = [each for each in scanned.damaged if each[0] < start]
            return start
    return len(data)


def _claimed(view: memoryview, start: int, end: int, expected: int) -> int:
    """Behind the last number of damaged frames at the end, as far as they still tell."""
    at = start
    while at < end:
        size = size_at(view, at)
        stop = at + size if size and at + size <= end else end
        body = view[at + 11 : stop - 1]
        count = 0
        if len(body) >= ROWS_HEAD.size:
            first, count, _, _ = ROWS_HEAD.unpack_from(body)
            if first != expected or count > MOST_CLAIMED:
                count = 0
        if not count:
            count = claimed_count(body)
        if 0 < count <= MOST_CLAIMED:
            expected += count
        at = stop
    return expected


def _batches(found: Found, name: str, data: bytes, scanned: Scan) -> None:
    segment = Segment(name, len(data), 0, used=scanned.end)
    start, gateway = -1, found.gateway
    for frame in scanned.frames:
        try:
            if frame.kind == Record.OWNER:
                owner = decode_owner(frame.body)
                segment.epoch, segment.level = owner.epoch, owner.level
                start, gateway = owner.first, owner.gateway
            elif frame.kind == Record.BATCH:
                head = decode_batch_head(frame.body)
                segment.void_from(head.first)
                segment.note(head, frame.offset, frame.end - frame.offset)
                found.latest_ms = max(found.latest_ms, head.last_ms if head.traits & 4 else 0)
        except _BAD:
            scanned.damaged.append((frame.offset, frame.end))
    if gateway != found.gateway:
        found.foreign.append(name)
        return
    _forgive_holes(scanned, data)
    _note_damage(found, name, scanned)
    if not scanned.frames:
        _without_frames(found, name, scanned)
        return
    if scanned.damaged and scanned.damaged[-1][1] == scanned.end:
        found.is_unsure = True
    if scanned.torn or scanned.damaged:
        segment.used = segment.size
    found.segments.append(segment)
    segment.origin = start if start >= 0 else segment.start
    found.starts.append(segment.origin)


def _marks(found: Found, name: str, data: bytes, scanned: Scan) -> None:
    found.marks.append(name)
    facts: list[Fact] = []
    for frame in scanned.frames:
        try:
            if frame.kind == Record.STATE:
                state = decode_state(bytes(frame.body))
                if state.gateway != found.gateway:
                    found.foreign.append(name)
                    found.marks.pop()
                    return
                _newer(found, state)
            else:
                facts += decode_facts(frame.kind, frame.body)
        except _BAD:
            scanned.damaged.append((frame.offset, frame.end))
    # Most marks are not synced one by one: holes that were never written are no damage.
    _forgive_holes(scanned, data)
    found.facts = facts or found.facts
    _note_damage(found, name, scanned)
    found.is_unsure = found.is_unsure or bool(scanned.damaged)


def _forgive_holes(scanned: Scan, data: bytes) -> None:
    """Count what never was written as torn, not as damaged."""
    for hole in [each for each in scanned.damaged if is_torn(memoryview(data), *each)]:
        scanned.damaged.remove(hole)
        scanned.torn += hole[1] - hole[0]


def _order(found: Found) -> None:
    for file, later in zip(found.journal, found.journal[1:], strict=False):
        file.void_from(later.start or file.end)
    order = sorted(range(len(found.segments)), key=lambda at: (found.starts[at], found.segments[at].name))
    found.segments = [found.segments[at] for at in order]
    found.starts = [found.starts[at] for at in order]
    for segment, start in zip(found.segments, found.starts[1:], strict=False):
        segment.void_from(start)
