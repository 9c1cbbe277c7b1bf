"""From the requests of a round to the columns of an echo reading."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from edge_agent.contract import Flag
from edge_agent.probes.echo_ledger import EchoRound, round_trip
from edge_agent.probes.probe import Measurement

P95_REPLIES = 20
"""Below this, a 95th percentile is only the maximum under another name."""
NOTHING = (None,) * 7
_LARGEST_COUNT = (1 << 16) - 2
_LARGEST_US = (1 << 32) - 2


def statistics(trips_ns: Sequence[int | None]) -> tuple[int | None, ...]:
    """min, p50, p95, max, mean, standard deviation and mean |ipdv| in µs of the round trips of a round.

    The trips are in the order of sending, None for a request without a reply. p50 is the median, p95 the
    nearest rank (null under 20 replies); the deviation is that of a sample (n - 1; null under 2 replies);
    ipdv is taken between consecutive requests that were both answered (RFC 3393; null when there are none).
    """
    replies = sorted(trip for trip in trips_ns if trip is not None)
    count = len(replies)
    if not count:
        return NOTHING
    mean = sum(replies) / count
    middle = (replies[(count - 1) // 2] + replies[count // 2]) / 2
    p95 = replies[math.ceil(0.95 * count) - 1] if count >= P95_REPLIES else None
    deviation = math.sqrt(sum((trip - mean) ** 2 for trip in replies) / (count - 1)) if count > 1 else None
    variations = [abs(b - a) for a, b in pairwise(trips_ns) if a is not None and b is not None]
    ipdv = sum(variations) / len(variations) if variations else None
    return tuple(map(_micros, (replies[0], middle, p95, replies[-1], mean, deviation, ipdv)))


def _micros(nanoseconds: float | None) -> int | None:
    return None if nanoseconds is None else min(int((nanoseconds + 500) // 1000), _LARGEST_US)


def report(echo_round: EchoRound, now_ns: int) -> Measurement:
    """The reading of a round, and the end of it; ``now_ns`` is monotonic.

    A request is in flight while its own wait has not run out; sent - received - in_flight were lost or late.
    late, duplicate and corrupt count what came since the link's last report, to earlier rounds included; a
    reply to a request that was not counted as lost is not late, or it would hide the loss of another.
    """
    late, in_flight, flags = 0, 0, Flag.KERNEL_SENT | Flag.KERNEL_RECEIVED
    trips: list[int | None] = []
    for sample in echo_round.samples:
        trip = None
        if sample.reply is None:
            sample.lost = now_ns - sample.sent.monotonic_ns >= echo_round.wait_ns
            in_flight += not sample.lost
        else:
            trip, whose = round_trip(sample.sent, sample.transmitted_ns, sample.reply)
            if trip > echo_round.wait_ns:
                trip, late = None, late + 1
            else:
                flags &= whose
        trips.append(trip)
    received = len(trips) - trips.count(None)
    tally = echo_round.tally
    counts = (len(trips), received, tally.late + late, tally.duplicate, tally.corrupt, in_flight)
    tally.late = tally.duplicate = tally.corrupt = 0
    values = (*(min(count, _LARGEST_COUNT) for count in counts), *statistics(trips), 0, None)
    return Measurement("echo", values, flags if received else Flag.NONE)
