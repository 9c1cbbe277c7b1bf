"""Opening a spool: what is whole is held, what is missing is told, and the numbering goes on safely."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable
from contextlib import suppress

from edge_agent.contract import Loss
from edge_agent.spool.disk import Disk
from edge_agent.spool.found import Found
from edge_agent.spool.journal import Journal
from edge_agent.spool.layout import ASIDE, NEW, Layout, number_of, sort_of
from edge_agent.spool.losses import Lost
from edge_agent.spool.marks import Marks
from edge_agent.spool.reading import read_all
from edge_agent.spool.reconcile import Balance, reconcile
from edge_agent.spool.reserve import RESERVE, Reserve
from edge_agent.spool.room import free_some, make_room
from edge_agent.spool.segments import GONE, Segments
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
    if _carry_out(disk, found.state):
        found = read_all(disk, gateway)
    # A process that was killed may have left what the medium does not have yet: what is sent must stay.
    for file in found.journal[-1:]:
        _write_again(disk, file.name, 0, file.used)
    for segment in found.segments[-1:]:
        if segment.firsts:
            _write_again(disk, segment.name, segment.offsets[-1], segment.lengths[-1])
    for name in (
        *(each.name for each in found.journal),
        *(each.name for each in found.segments),
        *found.marks,
    ):
        disk.sync(name)
    disk.sync_folder()
    _set_aside(disk, [("foreign", found.foreign), ("corrupt", found.hopeless)], now_s())
    state = found.state or _state_of(found, epoch)
    store = _assembled(disk, layout, found, state, lambda: int(now_s() * 1000))
    balance = reconcile(store, found)
    _say(found, balance)
    _begin(store, balance, found, epoch)
    return store


def _write_again(disk: Disk, name: str, offset: int, size: int) -> None:
    """Have the next sync write what is there: after one that failed the system takes it for written."""
    try:
        data = disk.read(name, offset, size)
    except OSError as exc:
        if exc.errno != errno.EIO:
            raise
        return
    try:
        disk.write(name, offset, data)
    except OSError as exc:
        if exc.errno != errno.EROFS:
            raise


def look(disk: Disk, gateway: str, layout: Layout) -> tuple[Store, Found, list[tuple[int, int]]]:
    """What a spool holds, without the lock and without a change: the store must only be read.

    Returns what was found and the numbers that are missing as well. Raises OSError.
    """
    found = read_all(disk, gateway)
    state = found.state or _state_of(found, lambda: 0)
    store = _assembled(disk, layout, found, state, lambda: 0)
    return store, found, reconcile(store, found).missing


def _state_of(found: Found, epoch: Callable[[], int]) -> State:
    """A new state, or what the rest tells where all that told the state is lost."""
    state = State(found.gateway, [(0, epoch())])
    if not (found.segments or found.journal):
        return state
    found.is_unsure = found.is_end_lost = True
    first = min(
        [each.origin for each in found.segments] + [each.start for each in found.journal if each.start >= 0],
        default=0,
    )
    state.epochs = [(first, epoch())]
    for segment in found.segments:
        if segment.epoch != state.epoch:
            state.begin_epoch(segment.epoch, segment.origin)
    state.acked_gone = first  # whatever became of them, nothing holds them any more
    return state


def _carry_out(disk: Disk, state: State | None) -> bool:
    """Finish the change that the last process was killed in; whether there was anything to do."""
    names = set(disk.names())
    is_adopted = state is not None and bool(state.adopting) and state.adopting + NEW in names
    if state and is_adopted:
        disk.rename(state.adopting + NEW, state.adopting)
        disk.sync_folder()
        names = set(disk.names())
    removable = [name for name in state.removing if name in names and sort_of(name)] if state else []
    if state and removable and state.adopting and state.adopting not in names:
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
    reserve = Reserve(disk, layout.reserve, disk.size(RESERVE) if RESERVE in names else 0)
    marks = Marks(disk, size=sum(map(disk.size, found.marks)), old=found.marks)
    store = Store(disk, layout, state, journal, segments, marks, reserve, now_ms, make_room, free_some)
    store.next_file = max([0, *map(number_of, names)]) + 1
    store.asides = [name for name in names if name.startswith(ASIDE)]
    store.torn = found.torn
    store.damaged = sum(end - start for _, start, end in found.damaged)
    if found.batch_end >= state.sealed:
        state.latest_ms = found.batch_ms or state.latest_ms
    store.appended_ms = found.rows_ms
    return store


def _begin(store: Store, balance: Balance, found: Found, epoch: Callable[[], int]) -> None:
    """Have the store's files be such that it can go on, and tell what is missing."""
    losses = [Lost(Loss.DAMAGED, start, end) for start, end in balance.missing]
    if found.is_end_lost:
        end = store.state.next_sequence
        losses.append(Lost(Loss.DAMAGED, end, end, epoch=store.state.epoch))
    if found.is_unsure or found.is_end_lost:
        store.state.begin_epoch(epoch(), store.frontier)
        store.segments.closed = True
    if losses or balance.arrived or found.is_unsure or not store.journal.files:
        store.lose(losses, balance.arrived)
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
    store.reserve.restore(store.layout.max_bytes - store.size)


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


def _say(found: Found, balance: Balance) -> None:
    missing = sum(end - start for start, end in balance.missing)
    if not (missing or found.is_end_lost):
        return
    for name, start, end in found.damaged[:10]:
        log.error("%s of the spool is damaged from byte %d to %d", name, start, end)
    more = ", perhaps more" if found.is_end_lost else ""
    log.error("the spool is damaged: %d readings are lost%s, the cloud will be told", missing, more)
