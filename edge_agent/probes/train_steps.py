"""A train as its receiver saw it: what the link carried from one arrival to the next, and how long it took.

Only differences of one clock are taken, so the two ends need no common time.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

SMALL_GAP = 0.5
"""A gap below this part of the mean gap joins packets that came together."""


class Arrival(NamedTuple):
    """One packet of a train, as the receiver's kernel stamped it."""

    sequence: int
    at_ns: int
    """Since the train's first arrival."""


class Step(NamedTuple):
    """What the link carried between two arrivals."""

    packets: int
    gap_ns: int
    starved: bool
    """The link had nothing to carry for a while: the gap is the sender's, not the link's."""


def steps(arrivals: Sequence[Arrival], sent_ns: Sequence[int]) -> list[Step]:
    """One step for each arrival after the first; ``sent_ns`` is when each packet was handed to the kernel.

    A packet that comes after one of a higher number has had its turn on the link already. Of missing packets
    the gap tells whether they took time on the link (lost behind it) or not (dropped before it).
    """
    came = list(_in_turn(arrivals))
    typical_ns = _typical_ns(came)
    taken = []
    for former, arrival in pairwise(came):
        gap_ns = arrival.at_ns - former.at_ns
        missing = arrival.sequence - former.sequence
        packets = max(min(round(gap_ns / typical_ns), missing), 1) if typical_ns else 1
        # Handed over after the packet before it had come, both counted from the first one.
        sent = sent_ns[arrival.sequence] - sent_ns[came[0].sequence]
        taken.append(Step(packets, gap_ns, sent > former.at_ns - came[0].at_ns))
    return taken


def _in_turn(arrivals: Sequence[Arrival]) -> Iterator[Arrival]:
    highest = -1
    for arrival in sorted(arrivals, key=lambda each: (each.at_ns, each.sequence)):
        if arrival.sequence > highest:
            highest = arrival.sequence
            yield arrival


def _typical_ns(came: Sequence[Arrival]) -> float:
    """The median gap between packets sent one after the other."""
    gaps = [b.at_ns - a.at_ns for a, b in pairwise(came) if b.sequence == a.sequence + 1]
    return statistics.median(gaps) if gaps else 0


def clumped(each_packet: Sequence[Step]) -> list[Step]:
    """The same by clumps, packets that came together; the last clump, which may not be full, is left out.

    What comes at the end of a slot, or in one aggregate, gathered since the one before: therefore the gap
    before a clump belongs to all of it. The first clump has no gap before it and counts for nothing.
    """
    small_ns = SMALL_GAP * sum(step.gap_ns for step in each_packet) / max(len(each_packet), 1)
    clumps: list[Step] = []
    within_ns = 0
    for step in each_packet:
        if step.gap_ns >= small_ns:  # from the beginning of one clump to that of the next
            clumps.append(step._replace(gap_ns=step.gap_ns + within_ns))
            within_ns = 0
            continue
        within_ns += step.gap_ns
        if clumps:
            clumps[-1] = clumps[-1]._replace(packets=clumps[-1].packets + step.packets)
    return clumps[:-1] if len(clumps) > 1 else clumps


def is_clumped(clumps: Sequence[Step]) -> bool:
    """Whether packets come together as a rule; a burst at the start alone is no rule."""
    return bool(clumps) and statistics.median(clump.packets for clump in clumps) >= 2
