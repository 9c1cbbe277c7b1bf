"""From the requests of a round to the columns of an echo reading."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from edge_agent.contract import Flag
from edge_agent.probes.echo_ledger import LOST, OPEN, EchoRound
from edge_agent.probes.probe import Measurement

P95_REPLIES = 20
"""Below this, a 95th percentile is only the maximum under another name."""
NOTHING = (None,) * 7


_KERNEL_SENT, _KERNEL_RECEIVED = Flag.KERNEL_SENT.value, Flag.KERNEL_RECEIVED.value
_PATH_CHANGED, _CLOCK_STEPPED = Flag.PATH_CHANGED.value, Flag.CLOCK_STEPPED.value
_FLAGS = tuple(map(Flag, range(1 << len(Flag))))


def statistics(trips_ns: Sequence[int | None]) -> tuple[int | None, ...]:
    """min, p50, p95, max, mean, standard deviation and mean |ipdv| in µs of the round trips of a round.

    The trips are in the order of sending, None for a request without a reply. p50 is the median, p95 the
    nearest rank (null under 20 replies); the deviation is that of a sample (n - 1; null under 2 replies);
    ipdv is taken between consecutive requests that were both answered (RFC 3393; null when there are none).
    """
    replies = [trip for trip in trips_ns if trip is not None]
    count = len(replies)
    if not count:
        return NOTHING
    replies.sort()
    mean = sum(replies) / count
    middle = (replies[(count - 1) // 2] + replies[count // 2]) / 2
    p95 = replies[math.ceil(0.95 * count) - 1] if count >= P95_REPLIES else None
    deviation = math.sqrt(sum([(trip - mean) ** 2 for trip in replies]) / (count - 1)) if count > 1 else None
    variations = [abs(b - a) for a, b in pairwise(trips_ns) if a is not None and b is not None]
    variation = sum(variations) / len(variations) if variations else None
    figures = (replies[0], middle, p95, replies[-1], mean, deviation, variation)
    return tuple([None if each is None else int((each + 500) // 1000) for each in figures])


def round_trips(echo_round: EchoRound) -> tuple[list[int | None], bool]:
    """The round trip of each request sent, ns, None without a reply; and whether the kernel stamped all.

    A transmission that the kernel did not stamp, or stamped after its reply, counts from user space's time.
    """
    trips: list[int | None] = []
    kernel_sent = True
    for sent, left, reply in zip(echo_round.sent_ns, echo_round.left_ns, echo_round.reply_ns, strict=True):
        if sent is None:
            continue
        if reply is None:
            trips.append(None)
        elif left is None or left > reply:
            kernel_sent = False
            trips.append(max(reply - sent, 0))
        else:
            trips.append(reply - left)
    return trips, kernel_sent


def report(echo_round: EchoRound, now_ns: int, stepped: bool = False) -> tuple[Measurement, list[int | None]]:
    """The reading of a round and its round trips in time, ns; ``now_ns`` is monotonic. Close the round then.

    A request is in flight while its own wait has not run out; sent - received - in_flight were lost or late.
    late, duplicate, corrupt and foreign count what came since the link's last report, to earlier rounds
    included; a reply to a request that was not counted as lost is not late, or it would hide the loss of
    another.
    """
    trips, kernel_sent = round_trips(echo_round)
    tally, late, in_flight = echo_round.tally, 0, 0
    if echo_round.unanswered or max(filter(None, trips), default=0) > echo_round.wait_ns:
        wait_ns, in_flight = echo_round.wait_ns, _mark_lost(echo_round, now_ns)
        late = sum([trip is not None and trip > wait_ns for trip in trips])
        trips = [None if trip is None or trip > wait_ns else trip for trip in trips]
    received = len(trips) - trips.count(None)
    late, duplicate, corrupt, foreign = tally.take(late)
    counts = (len(trips), received, late, duplicate, corrupt, in_flight)
    values = (*counts, *statistics(trips), foreign, echo_round.ttl)
    return Measurement("echo", values, _flags(echo_round, received, kernel_sent, stepped)), trips


def _mark_lost(echo_round: EchoRound, now_ns: int) -> int:
    """Mark the requests whose wait has run out as lost; how many still wait."""
    in_flight = 0
    fates = echo_round.fates
    for place, sent in enumerate(echo_round.sent_ns):
        if sent is not None and fates[place] == OPEN:
            if now_ns - sent >= echo_round.wait_ns:
                fates[place] = LOST
            else:
                in_flight += 1
    return in_flight


def _flags(echo_round: EchoRound, received: int, kernel_sent: bool, stepped: bool) -> Flag:
    flags = _PATH_CHANGED * echo_round.path_changed | _CLOCK_STEPPED * stepped
    if received:
        flags |= _KERNEL_SENT * kernel_sent | _KERNEL_RECEIVED * echo_round.kernel_received
    return _FLAGS[flags]
