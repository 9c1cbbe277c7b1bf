"""Room for what is new: the acknowledged goes first, then what the policy says, each loss told in a gap."""

from __future__ import annotations

from contextlib import suppress

from edge_agent.contract import ContractError, Loss, decode
from edge_agent.sealing import from_row
from edge_agent.spool.journal import LostRows
from edge_agent.spool.losses import Lost, told_before
from edge_agent.spool.segments import ACKED, GONE, HAS_GAP, LINKS, Segment
from edge_agent.spool.store import FULL, Store

THIN = "thin"
SPARE = 4096
"""Room for what a change may need beyond the size of the files."""


def make_room(store: Store, size: int) -> None:
    """Let go of as much as a file of this size needs within the bound; of less when there is no more."""
    # Thinning puts a file beside the two that it replaces, for a moment.
    spare = SPARE + (store.layout.batches * 3 // 2 if store.when_full == THIN else 0)
    while (needed := store.size + size + spare - store.layout.max_bytes) > 0:
        if not free_some(store, needed):
            return


def free_some(store: Store, needed: int = 1) -> bool:
    """Let go of what is worth least, ``needed`` bytes of it if there is so much; whether there was any."""
    return (
        _aside(store)
        or _acknowledged(store, needed)
        or _thinned(store)
        or _oldest(store, needed)
        or _unsealed(store)
    )


def _thinned(store: Store) -> bool:
    if store.when_full != THIN:
        return False
    from edge_agent.spool.thinning import thin_pair  # few gateways ever need it

    try:
        return thin_pair(store, _closed(store))
    except OSError as exc:
        if exc.errno not in FULL or store.is_in_doubt:
            raise
        return False


def _aside(store: Store) -> bool:
    if not store.asides:
        return False
    store.disk.remove(store.asides[0])
    del store.asides[0]
    return True


def _closed(store: Store) -> list[Segment]:
    """The files that are no longer written to."""
    return store.segments.files if store.segments.closed else store.segments.files[:-1]


def _acknowledged(store: Store, needed: int) -> bool:
    chosen: list[Segment] = []
    for segment in _closed(store):
        if not any(segment.waits) and sum(each.size for each in chosen) < needed:
            chosen.append(segment)
    if chosen:
        let_go(store, chosen)
    return bool(chosen)


def _oldest(store: Store, needed: int) -> bool:
    if not store.segments.files:
        return False
    chosen: list[Segment] = []
    for segment in _closed(store):
        # One at a time where thinning may do instead with what is left.
        if sum(each.size for each in chosen) < (1 if store.when_full == THIN else needed):
            chosen.append(segment)
    if not chosen:
        store.segments.closed = True
        chosen = store.segments.files[:1]
    let_go(store, chosen)
    return True


def let_go(store: Store, chosen: list[Segment]) -> None:
    """Drop segments: what waits in them is lost, what is acknowledged is not."""
    losses: list[Lost] = []
    acked: list[tuple[int, int]] = []
    redefine = False
    for segment in chosen:
        for place, (first, count, marks) in enumerate(
            zip(segment.firsts, segment.counts, segment.marks, strict=True)
        ):
            if marks & GONE:
                continue
            if marks & ACKED:
                acked.append((first, first + count))
                continue
            redefine = redefine or bool(marks & LINKS)
            losses += batch_losses(store, segment, place, Loss.FULL)
    store.lose(losses, acked, removing=[each.name for each in chosen])
    store.forget([each.name for each in chosen])
    store.redefine = store.redefine or redefine


def batch_losses(store: Store, segment: Segment, place: int, reason: Loss) -> list[Lost]:
    """The loss of a batch, and of what its gap readings told."""
    first, count = segment.firsts[place], segment.counts[place]
    found = store.segments.read(segment, place)
    if found is None:
        return [Lost(Loss.DAMAGED, first, first + count)]
    head, payload = found
    told: list[Lost] = []
    if segment.marks[place] & HAS_GAP:
        with suppress(ContractError):
            told = told_before(decode(payload).readings, store.state)
    return [Lost(reason, first, first + count, head.last_ms - head.span_ms, head.last_ms), *told]


def _unsealed(store: Store) -> bool:
    """Drop the oldest journal file with all that waits in it."""
    if len(store.journal.files) < 2:
        return False
    file = store.journal.files[0]
    told: list[Lost] = []
    times: list[int] = []
    at = store.frontier
    while at < file.end:
        try:
            rows = store.journal.first_from(at)
        except LostRows as exc:
            at = exc.end
            continue
        if rows is None or rows.first >= file.end:
            break
        with suppress(ContractError, ValueError):
            readings = [from_row(row).reading for row in rows.rows()]
            times += [reading.at_ms for reading in readings]
            told += told_before(readings, store.state)
        at = rows.end
    span = (min(times, default=None), max(times, default=None))
    lost = [Lost(Loss.FULL, *each, *span) for each in store.state.gone.missing(store.frontier, file.end)]
    store.lose([*lost, *told])
    store.frontier = max(store.frontier, file.end)
    store.journal.release(store.frontier)
    return True
