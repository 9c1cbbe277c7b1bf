"""From the arrivals of a packet train to a capacity (RFC 5136 section 2.3.2: bits of IP packets a second).

A train sent at once keeps the link busy, so that packets leave it one packet's time apart. What is measured
is the capacity of the narrowest part of the way in this direction, not what others leave free of it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import accumulate
from math import ceil, floor

from edge_agent.probes.train_steps import Arrival, Step, clumped, is_clumped, steps

SLOWER = 1.5
"""A token bucket is recognised when the rate falls by this factor."""
STALL_NS = 2_000_000
"""What passes in so long is no burst: some machine on the way may have stood still before it."""
FEW_STEPS, FEW_CLUMPS = 10, 3
"""Below this, an estimate is no more than a hint."""
COMPRESSED = 0.5
"""A train that comes within this part of the time that it was sent in waited somewhere and came at once."""
DROPPED, HELD_UP = 0.25, 2
"""With more than this part lost, and not drawn out so many times as long as it took to send, a train met a
limit that drops instead of queueing: what came through says nothing of the rate that lasts."""
SHORTEST_BURST, SHORTEST_BURST_STEPS = 8, 3
"""Of a token bucket that can be told from a late packet, in packets and in arrivals (or clumps)."""
SEGMENT_STEPS = 10
MOST_SEGMENTS = 8
DISAGREEMENT = 0.2
"""Of the quartiles of the segments' rates, as a part of the estimate."""
COARSE_NS = 500_000
"""Clumps more often than this are the receiver's interrupts, not the link's slots (two to ten ms)."""
MOST_KBPS = (1 << 32) - 2


class Trust(IntEnum):
    """How far an estimate may be believed, as in the column ``trust``."""

    TRUSTED = 0
    CLUMPED = 1
    """The link sends in slots or aggregates: the estimate is over whole ones, its error bar wider."""
    DISAGREE = 2
    """The segments of the train disagree: the rate changed, or something else used the link."""
    FEW = 3
    """Too few packets came at the rate that lasts: a hint."""
    COARSE = 4
    """The receiver's kernel did not stamp, or stamped many packets together."""


@dataclass(frozen=True, slots=True)
class Train:
    """A train as it was sent and as it came."""

    packet_bytes: int
    """Of the whole IP packet."""
    sent_ns: Sequence[int]
    """When each packet was handed to the kernel, by its sequence."""
    arrivals: Sequence[Arrival]
    is_stamped: bool = True
    """Whether the receiver's kernel stamped every arrival."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a train says about the link; rates in kbit/s of IP packets."""

    kbps: int
    low_kbps: int
    high_kbps: int | None
    """None when only a lower bound is known."""
    trust: Trust
    is_lower_bound: bool = False
    burst_bytes: int | None = None
    """What a token bucket let pass before the rate above held; None when none was recognised."""
    peak_kbps: int | None = None


def analyse(train: Train) -> Estimate | None:
    """The capacity that a train shows; None when it shows none.

    A token bucket deeper than the train is not seen: the estimate is then what it lets pass at its peak, and
    the bytes of the train are a bound of what that holds for.
    """
    each_packet = steps(train.arrivals, train.sent_ns)
    if _came_at_once(train, each_packet) or _was_policed(train, each_packet):
        return None
    clumps = clumped(each_packet)
    in_clumps = is_clumped(clumps)
    taken = clumps if in_clumps else each_packet
    knee = _knee(taken)
    bucket = None if knee is None else _bucket(train, taken, knee, in_clumps)
    if bucket is not None:
        return bucket
    later = taken[len(taken) // 2 :] if len(taken) >= 2 * FEW_STEPS else taken
    return _steady(train, later, in_clumps)


def rough_kbps(train: Train) -> int | None:
    """The rate of a few packets from the first arrival to the last; None when they came all at once."""
    each_packet = steps(train.arrivals, train.sent_ns)
    took_ns = sum(step.gap_ns for step in each_packet)
    return _kbps(train, sum(step.packets for step in each_packet) / took_ns) if took_ns > 0 else None


def _came_at_once(train: Train, each_packet: Sequence[Step]) -> bool:
    took_ns = sum(step.gap_ns for step in each_packet)
    numbers = [arrival.sequence for arrival in train.arrivals]
    if took_ns <= 0:
        return True
    return took_ns < COMPRESSED * (train.sent_ns[max(numbers)] - train.sent_ns[min(numbers)])


def _was_policed(train: Train, each_packet: Sequence[Step]) -> bool:
    took_ns = sum(step.gap_ns for step in each_packet)
    lost = 1 - len(train.arrivals) / len(train.sent_ns)
    return lost > DROPPED and took_ns < HELD_UP * (train.sent_ns[-1] - train.sent_ns[0])


def _steady(train: Train, taken: Sequence[Step], in_clumps: bool) -> Estimate:
    """The rate of steps among which it does not change; of those alone in which the link was busy."""
    busy = [step for step in taken if not step.starved]
    if len(busy) * 2 < len(taken):
        # What came faster than it was sent had waited somewhere: no link is shown faster than its sender.
        kbps = _kbps(train, min(_rate(taken), _rate_sent(train)))
        return Estimate(kbps, kbps, None, _trust(train, taken, in_clumps, []), True)
    rate = _rate(busy)
    rates = [*_segment_rates(busy), rate]
    trust = _trust(train, busy, in_clumps, rates)
    low, high = min(rates), max(rates)
    if in_clumps or trust is Trust.FEW:  # one more or less is what the edges of a train cannot tell
        low, high = low * (1 - 1 / (len(busy) + 1)), high * (1 + 1 / len(busy))
    return Estimate(_kbps(train, rate), _kbps(train, low, floor), _kbps(train, high, ceil), trust)


def _bucket(train: Train, taken: Sequence[Step], knee: int, in_clumps: bool) -> Estimate | None:
    """A burst at one rate up to the knee, then a lower rate that lasts; None when hardly anything burst.

    Something that held up the first packets for a moment makes those behind them come quickly, too.
    """
    burst, rest = taken[:knee], taken[knee:]
    settled = rest[1:] if len(rest) > FEW_STEPS else rest
    lasting = _steady(train, settled, in_clumps)
    if lasting.is_lower_bound:  # it was the sender that slowed down
        return None
    passed = 1 + sum(step.packets for step in burst)
    # Tokens that came while the burst passed were spent as well.
    refilled = lasting.kbps * sum(step.gap_ns for step in burst) / 8e6
    burst_bytes = round(passed * train.packet_bytes - refilled)
    if burst_bytes < max(SHORTEST_BURST * train.packet_bytes, lasting.kbps * STALL_NS / 8e6):
        return None
    peak = _kbps(train, _rate(burst))
    high = peak if lasting.trust is Trust.FEW else lasting.high_kbps
    return Estimate(
        lasting.kbps,
        lasting.low_kbps,
        high,
        lasting.trust,
        False,
        burst_bytes,
        peak,
    )


def _knee(taken: Sequence[Step]) -> int | None:
    """After how many steps a rate gives way to a much lower one that lasts; None when none does.

    It is where what had come is furthest ahead of the even progress from the first arrival to the last.
    """
    packets = [0, *accumulate(step.packets for step in taken)]
    times = [0, *accumulate(step.gap_ns for step in taken)]
    ahead = [count * times[-1] - at * packets[-1] for count, at in zip(packets, times, strict=True)]
    knee = max(range(len(ahead)), key=ahead.__getitem__)
    if knee < SHORTEST_BURST_STEPS or packets[knee] < SHORTEST_BURST or knee + 2 > len(taken):
        return None
    before, after = _rate(taken[:knee]), _rate(taken[knee:])
    return knee if before >= SLOWER * after else None


def _rate(taken: Sequence[Step]) -> float:
    """Packets a ns: the median over all stretches of half the length, which one late stamp does not move."""
    packets = [0, *accumulate(step.packets for step in taken)]
    times = [0, *accumulate(step.gap_ns for step in taken)]
    half = max(len(taken) // 2, 1)
    return statistics.median(
        (packets[at + half] - packets[at]) / max(times[at + half] - times[at], 1)
        for at in range(len(taken) + 1 - half)
    )


def _rate_sent(train: Train) -> float:
    """Packets a ns at which the train left its sender."""
    return (len(train.sent_ns) - 1) / max(train.sent_ns[-1] - train.sent_ns[0], 1)


def _segment_rates(taken: Sequence[Step]) -> list[float]:
    return [
        sum(step.packets for step in segment) / max(sum(step.gap_ns for step in segment), 1)
        for segment in _segments(taken)
    ]


def _segments(taken: Sequence[Step]) -> Iterator[Sequence[Step]]:
    count = max(min(len(taken) // SEGMENT_STEPS, MOST_SEGMENTS), 1)
    for number in range(count):
        yield taken[number * len(taken) // count : (number + 1) * len(taken) // count]


def _trust(train: Train, taken: Sequence[Step], in_clumps: bool, rates: Sequence[float]) -> Trust:
    if not train.is_stamped:
        return Trust.COARSE
    if sum(step.packets for step in taken) < FEW_STEPS or (in_clumps and len(taken) < FEW_CLUMPS):
        return Trust.FEW
    if in_clumps:
        often = statistics.median(step.gap_ns for step in taken) < COARSE_NS
        return Trust.COARSE if often else Trust.CLUMPED
    if len(rates) > 2:
        low, middle, high = statistics.quantiles(rates, n=4)
        if high - low > DISAGREEMENT * middle:
            return Trust.DISAGREE
    return Trust.TRUSTED


def _kbps(train: Train, packets_per_ns: float, rounded: Callable[[float], int] = round) -> int:
    return min(rounded(packets_per_ns * train.packet_bytes * 8e6), MOST_KBPS)
