"""Numbers, counts and marks of what was found: each number is gone, sealed, in the journal, or missing."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

from edge_agent.spool.found import Found
from edge_agent.spool.ranges import Ranges
from edge_agent.spool.records import Record
from edge_agent.spool.segments import ACKED, ASKED, GONE, SENT, Segment
from edge_agent.spool.store import Store

Spans = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Balance:
    """What is not there."""

    missing: Spans
    """Numbers that nobody will ever see."""
    arrived: Spans
    """Numbers that are gone, and were acknowledged."""


def reconcile(store: Store, found: Found) -> Balance:
    """Give the store its index, its numbering and its frontier; returns what is missing."""
    state, segments = store.state, store.segments
    sent, acked, asked, accepted = _facts(found)
    for segment in segments.files:
        _mark(store, segment, found, (sent, acked, asked))
    rows = Ranges((first, end) for file in found.journal for first, end in _spans(file.firsts, file.ends))
    known = max(state.next_sequence, rows.end, segments.end)
    if max(accepted, sent.end) > max(known, found.claimed):
        found.is_end_lost = True  # the journal is synced before anything else tells of its numbers
    state.next_sequence = max(known, accepted, sent.end, found.claimed)
    store.frontier = min(max(segments.end, sent.end, state.sealed), state.next_sequence)
    covered = state.gone.copy()
    for segment in segments.files:
        for span in segment.spans():
            covered.add(*span)
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
    return Balance([part for each in missing for part in there.missing(*each)], arrived)


def _spans(firsts: Iterable[int], ends: Iterable[int]) -> Iterable[tuple[int, int]]:
    return zip(firsts, ends, strict=True)


def _mark(store: Store, segment: Segment, found: Found, facts: tuple[Ranges, Ranges, Ranges]) -> None:
    """Take over what the marks say of a file's batches."""
    sent, acked, asked = facts
    segments, gone = store.segments, store.state.gone
    segments.waiting += len(segment.firsts)
    segments.held += sum(segment.counts)
    for place in _places(segment, [(0, 1 << 63)] if found.is_unsure else sent):
        segment.marks[place] |= SENT
    for place in _places(segment, asked):
        segment.marks[place] |= ASKED
        store.asked[segment.firsts[place]] = None
    for place in _places(segment, acked):
        store.settle(segment, place, ACKED)
    for place in _places(segment, gone):
        store.settle(segment, place, GONE)
    store.note_sealed(segment, 0)


def _places(segment: Segment, spans: Iterable[tuple[int, int]]) -> Iterable[int]:
    """The batches that begin within these numbers."""
    for start, end in spans:
        if start < segment.end and end > segment.start:
            yield from range(bisect_left(segment.firsts, start), bisect_left(segment.firsts, end))


def _facts(found: Found) -> tuple[Ranges, Ranges, Ranges, int]:
    """What was sent, is acknowledged, and is asked for; and the next number."""
    sent, acked, asked, accepted = Ranges(), Ranges(), Ranges(), 0
    for record, start, end in found.facts:
        match record:
            case Record.SENDING:
                sent.add(start, end)
            case Record.ACKED:
                acked.add(start, end)
                if asked:
                    asked = asked.without(start, end)
            case Record.ASKED:
                asked.add(start, end)
                acked = acked.without(start, end)
            case Record.ACCEPTED:
                accepted = max(accepted, end)
    return sent, acked, asked, accepted
