"""What a file of the journal holds, where its last commit ends, and what a lost end still tells."""

from __future__ import annotations

import struct

from edge_agent.spool.found import Found
from edge_agent.spool.frame import Frame, damaged_body, size_at
from edge_agent.spool.journal import JournalFile
from edge_agent.spool.records import (
    BAD,
    ROWS_HEAD,
    Record,
    Rows,
    claimed_count,
    decode_change,
    decode_rows,
)
from edge_agent.spool.salvage import Salvaged
from edge_agent.spool.state import State

MOST_CLAIMED = 4096


def read_journal(found: Found, file: Salvaged) -> bool:
    """Take over the journal's next file; whether there is anything in it."""
    journal = JournalFile(file.name, len(file.data), used=file.scan.end)
    states = _take_frames(found, file, journal, _cut(file))
    if any(state.gateway != found.gateway for state in states):
        found.foreign.append(file.name)
        return False
    for state in states:
        found.learn(state)
    # Only the last file's end counts: what others had the next one's beginning tells.
    found.is_end_lost, found.claimed = False, 0
    found.is_tail_clean = not (file.is_cut or file.is_beheaded or file.tail() or file.scan.torn)
    if not file.frames:
        return False
    tail = file.tail()
    if tail and not file.is_tail_torn():
        file.blame(*tail)
        expected = max(journal.end, max((state.next_sequence for state in states), default=0))
        found.claimed, is_all = _claimed(memoryview(file.data), *tail, expected)
        found.is_end_lost = file.is_cut or not is_all
        found.is_unsure = True
    elif file.is_cut:
        found.is_end_lost = True
    found.journal.append(journal)
    return True


def _take_frames(found: Found, file: Salvaged, journal: JournalFile, cut: int) -> list[State]:
    """Take over the frames before ``cut``; returns the states among them."""
    states: list[State] = []
    for frame in file.frames:
        if frame.offset >= cut:
            break
        try:
            state, rows = _content(frame)
        except BAD:
            file.scan.damaged.append((frame.offset, frame.end))
            continue
        if state:
            states.append(state)
            if not frame.offset:
                journal.start = rows.first if rows else state.next_sequence
        if rows:
            journal.void_from(rows.first)
            journal.note(rows.first, rows.end, frame.offset, frame.end - frame.offset)
            found.rows_ms = rows.latest_ms or found.rows_ms
    if journal.start < 0 and journal.firsts:
        journal.start = journal.firsts[0]
    return states


def _content(frame: Frame) -> tuple[State | None, Rows | None]:
    if frame.kind in (Record.CHANGE, Record.STATE):
        return decode_change(frame.body) if frame.kind == Record.CHANGE else (State.of(frame.body), None)
    return None, decode_rows(frame.body) if frame.kind == Record.READINGS else None


def _cut(file: Salvaged) -> int:
    """Where the last commit has a hole that was never written: what follows of it was never accepted."""
    if not file.frames or not file.scan.damaged:
        return len(file.data)
    commits = [(_commit(frame), frame) for frame in file.frames]
    last, last_frame = commits[-1]
    durable = max((frame.end for commit, frame in commits if commit != last), default=0)
    for start, end in sorted(file.scan.damaged):
        if max(durable, 1) <= start < last_frame.offset and file.looks_torn(start, end):
            file.forgive(start, file.scan.end)
            return start
    return len(file.data)


def _commit(frame: Frame) -> tuple[int, int]:
    """The same for all frames of one commit."""
    if frame.kind == Record.READINGS and len(frame.body) >= ROWS_HEAD.size:
        first, _, before, _ = ROWS_HEAD.unpack_from(frame.body)
        return -1, first - before
    return frame.offset, 0


def _claimed(view: memoryview, start: int, end: int, expected: int) -> tuple[int, bool]:
    """Behind the last number of damaged frames at the end, as far as they still tell; whether all do."""
    at, is_all = start, True
    while at < end:
        size = size_at(view, at)
        stop = at + size if size and at + size <= end else end
        count = _count(damaged_body(view, at, stop), expected)
        is_all = is_all and count > 0 and stop == at + size
        expected += count
        at = stop
    return expected, is_all


def _count(body: memoryview, expected: int) -> int:
    count = 0
    if len(body) >= ROWS_HEAD.size:
        first, count, _, _ = ROWS_HEAD.unpack_from(body)
        if first != expected or count > MOST_CLAIMED:
            count = 0
    try:
        count = count or claimed_count(body)
    except struct.error:
        return 0
    return count if count <= MOST_CLAIMED else 0
