"""Opening a spool: what is whole is held, what is missing is told, and the numbering goes on safely."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress

from edge_agent.contract import Loss
from edge_agent.spool.disk import Disk
from edge_agent.spool.journal import Journal, JournalFile
from edge_agent.spool.layout import ASIDE, BATCHES, NEW, RESERVE, Layout, number_of, sort_of
from edge_agent.spool.losses import Lost
from edge_agent.spool.marks import Marks
from edge_agent.spool.ranges import Ranges
from edge_agent.spool.reading import Found, read_all
from edge_agent.spool.records import Record
from edge_agent.spool.room import free_some, make_room
from edge_agent.spool.segments import ACKED, ASKED, GONE, SENT, Segments
from edge_agent.spool.state import State
from edge_agent.spool.store import Store

KEPT_ASIDE = 2
"""Files set aside that are kept for inspection; older ones are deleted, or they would fill the disk."""

log = logging.getLogger(__name__)


def open_store(
    disk: Disk, gateway: str, layout: Layout, epoch: Callable[[], int], now_s: Callable[[], float]
) -> Store:
    """The store on a disk, new where there is none that can be used; raises OSError, then try again."""
    found = read_all(disk, gateway)
    if found.state and _carry_out(disk, found.state):
        found = read_all(disk, gateway)
    # A process that was killed may have left what the medium does not have yet: what is sent must stay.
    for name in (
        *(each.name for each in found.journal),
        *(each.name for each in found.segments),
        *found.marks,
    ):
        disk.sync(name)
    disk.sync_folder()
    is_new = found.state is None
    state = found.state or State(gateway, [(0, epoch())])
    for name in found.stillborn:
        disk.remove(name)
    _set_aside(disk, [("foreign", found.foreign), ("corrupt", found.hopeless)], now_s())
    store = _assembled(disk, layout, found, state, lambda: int(now_s() * 1000))
    missing, acked = _reconcile(store, found)
    if found.damaged or found.hopeless:
        _say(found, sum(end - start for start, end in missing))
    if is_new and (found.segments or found.journal):
        found.is_unsure = True
    if found.is_unsure:
        store.state.begin_epoch(epoch(), store.frontier)
        store.segments.closed = True
    _begin(store, missing, acked, found)
    return store


def look(disk: Disk, gateway: str, layout: Layout) -> tuple[Store, Found, list[tuple[int, int]]]:
    """What a spool holds, without the lock and without a change: the store must only be read.

    Returns what was found and the numbers that are missing as well. Raises OSError.
    """
    found = read_all(disk, gateway)
    state = found.state or State(gateway, [(0, 0)])
    store = _assembled(disk, layout, found, state, lambda: 0)
    missing, _ = _reconcile(store, found)
    return store, found, missing


def _carry_out(disk: Disk, state: State) -> bool:
    """Finish the change that the last process was killed in; whether there was anything to do."""
    names = set(disk.names())
    is_adopted = bool(state.adopting) and state.adopting + NEW in names
    if is_adopted:
        disk.rename(state.adopting + NEW, state.adopting)
        disk.sync_folder()
        names = set(disk.names())
    removable = [name for name in state.removing if name in names]
    if removable and state.adopting and state.adopting not in names:
        removable = []  # what was to take their place is not there
    stale = [name for name in names if name.endswith(NEW)]
    for name in (*removable, *stale):
        disk.remove(name)
    return is_adopted or bool(removable)


def _assembled(disk: Disk, layout: Layout, found: Found, state: State, now_ms: Callable[[], int]) -> Store:
    journal, segments = Journal(disk), Segments(disk)
    journal.files = found.journal
    journal.spoilt = not found.is_tail_clean or not found.journal
    segments.files = found.segments
    segments.closed = not found.segments or found.segments[-1].used >= found.segments[-1].size
    names = disk.names()
    store = Store(disk, layout, state, journal, segments, Marks(disk), now_ms, make_room, free_some)
    store.marks.old = found.marks
    store.marks.size = sum(map(disk.size, found.marks))
    store.next_file = max([0, *map(number_of, names)]) + 1
    store.asides = [name for name in names if name.startswith(ASIDE)]
    store.reserve = disk.size(RESERVE) if RESERVE in names else 0
    store.torn = found.torn
    store.damaged = sum(end - start for _, start, end in found.damaged)
    state.latest_ms = max(state.latest_ms, found.latest_ms)
    return store


def _reconcile(store: Store, found: Found) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Index, numbering and frontier; returns the numbers that are missing, and those that had arrived."""
    state, segments = store.state, store.segments
    sent, acked, accepted = _apply(store, found)
    rows = _rows(found.journal)
    state.next_sequence = max(state.next_sequence, rows.end, segments.end, accepted, sent.end, found.claimed)
    is_damaged = any(sort_of(name) == BATCHES for name, _, _ in found.damaged)
    store.frontier = _frontier(store, rows, max(sent.end, acked.end), is_damaged)
    covered = state.gone.copy()
    for segment in segments.files:
        for first, count in zip(segment.firsts, segment.counts, strict=True):
            covered.add(first, first + count)
    for start, end in rows:
        covered.add(max(start, store.frontier), end)
    missing = covered.missing(state.epochs[0][0], state.next_sequence)
    arrived = [
        (max(start, first), min(end, last))
        for start, end in missing
        for first, last in acked
        if max(start, first) < min(end, last)
    ]
    there = Ranges(arrived)
    lost = [part for start, end in missing for part in there.missing(start, end)]
    return lost, arrived


def _apply(store: Store, found: Found) -> tuple[Ranges, Ranges, int]:
    """Take over what the marks say; returns what was sent, what is acknowledged, and the next number."""
    sent, acked, asked, accepted = _facts(found)
    segments, gone = store.segments, store.state.gone
    for segment in segments.files:
        segments.waiting += len(segment.firsts)
        segments.held += sum(segment.counts)
        for place, first in enumerate(segment.firsts):
            if first in sent or found.is_unsure:
                segment.marks[place] |= SENT
            if first in gone:
                segments.settle(segment, place, GONE)
            elif first in acked:
                segments.settle(segment, place, ACKED)
            elif first in asked:
                segment.marks[place] |= ASKED
                store.asked[first] = None
        store.note_sealed(segment, 0)
    return sent, acked, accepted


def _facts(found: Found) -> tuple[Ranges, Ranges, Ranges, int]:
    """What was sent, is acknowledged, and is asked for; and the next number."""
    sent, acked, asked, accepted = Ranges(), Ranges(), Ranges(), 0
    for record, start, end in found.facts:
        match record:
            case Record.SENDING:
                sent.add(start, end)
            case Record.ACKED:
                acked.add(start, end)
                asked = asked.without(start, end)
            case Record.ASKED:
                asked.add(start, end)
                acked = acked.without(start, end)
            case Record.ACCEPTED:
                accepted = max(accepted, end)
    return sent, acked, asked, accepted


def _rows(files: list[JournalFile]) -> Ranges:
    rows = Ranges()
    for file in files:
        for at, first in enumerate(file.firsts):
            rows.add(first, file.ends[at])
    return rows


def _frontier(store: Store, rows: Ranges, sent_end: int, is_damaged: bool) -> int:
    """The first number to seal next.

    A write of several batches that the power cut off may have a hole. Nothing of it was sent, and the
    journal still has all of it: then it is sealed again from the hole on. A hole that damage has made may
    have been sent, and is not.
    """
    segments, end = store.segments, max(store.segments.end, sent_end)
    sealed = store.state.gone.copy()
    for segment in segments.files:
        for first, count in zip(segment.firsts, segment.counts, strict=True):
            sealed.add(first, first + count)
    holes = sealed.missing(sent_end, end)
    if not holes or is_damaged:
        return end
    start = holes[0][0]
    needed = store.state.gone.missing(start, end)
    if any(rows.missing(*each) for each in needed):
        return end
    for segment in segments.files:
        for place, first in enumerate(segment.firsts):
            if first >= start:
                segments.settle(segment, place, GONE)
                store.urgent.pop(first, None)
        segment.void_from(start)
    segments.closed = True
    return start


def _begin(store: Store, missing: list[tuple[int, int]], acked: list[tuple[int, int]], found: Found) -> None:
    losses = [Lost(Loss.DAMAGED, start, end) for start, end in missing]
    if found.is_journal_cut:
        losses.append(Lost(Loss.DAMAGED, None, 0))  # more may be missing than anything tells of
    if losses or acked or found.is_unsure or not store.journal.files:
        store.lose(losses, acked)
    store.forget(
        [
            each.name
            for each in store.segments.files
            if not each.firsts or all(mark & GONE for mark in each.marks)
        ]
    )
    store.journal.release(store.frontier)
    with suppress(OSError):
        store.begin_marks()
    store.restore_reserve()


def _set_aside(disk: Disk, chosen: list[tuple[str, list[str]]], now_s: float) -> None:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
    for label, names in chosen:
        for name in names:
            aside = f"{ASIDE}{stamp}-{label}-{name}"
            disk.rename(name, aside)
            log.error("%s of the spool %s is %s: set aside as %s", name, disk, label, aside)
    kept = [name for name in disk.names() if name.startswith(ASIDE)]
    for name in kept[:-KEPT_ASIDE]:
        disk.remove(name)


def _say(found: Found, missing: int) -> None:
    for name, start, end in found.damaged[:10]:
        log.error("%s of the spool is damaged from byte %d to %d", name, start, end)
    log.error("the spool is damaged: %d readings are lost, the cloud will be told", missing)
