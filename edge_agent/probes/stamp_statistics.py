"""From the packets of a STAMP session to the columns of a reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from edge_agent.contract import KINDS, Flag, row
from edge_agent.probes.echo_statistics import statistics
from edge_agent.probes.probe import Measurement
from edge_agent.probes.stamp_session import Reply, Sample, Session, Tally
from edge_agent.probes.stamp_time import error_ns

STEP_TOLERANCE_NS = 1_000_000
"""How far two readings of wall minus monotonic time may differ before the wall clock counts as stepped."""
STAMPING_NS = 100_000
"""By how much a time that a reflector had to write before it left may be wrong."""
SHORTEST_NS = 1_000
"""No packet goes there and back faster: the reflector wrote a time of departure that was yet to come."""
_LARGEST = {column.name: column.maximum for column in KINDS["stamp"].columns}
_RTT = (
    "rtt_min_us",
    "rtt_p50_us",
    "rtt_p95_us",
    "rtt_max_us",
    "rtt_mean_us",
    "rtt_stddev_us",
    "ipdv_mean_us",
)


@dataclass(frozen=True, slots=True)
class Trip:
    """The times that one answered packet took, ns."""

    whole_ns: int
    """T4 - T1."""
    round_ns: int | None
    """(T4 - T1) - (T3 - T2); None when the reflector's times contradict what was seen here."""
    out_ns: int
    """T2 - T1: by two clocks, so that only its variation means something unless both are synchronised."""
    back_ns: int
    """T4 - T3, by two clocks."""
    flags: Flag


def trip(sample: Sample, reply: Reply) -> Trip:
    """The times of a packet and its reply, from the kernel's stamps where there are any.

    A wall clock that was set meanwhile shows in the difference to the monotonic clock, which then counts.
    """
    begin_ns = sample.sent.wall_ns if sample.transmitted_ns is None else sample.transmitted_ns
    end_ns = reply.at.wall_ns if reply.at.kernel_ns is None else reply.at.kernel_ns
    seen_ns = reply.at.monotonic_ns - sample.sent.monotonic_ns
    stepped = abs(reply.at.wall_ns - sample.sent.wall_ns - seen_ns) > STEP_TOLERANCE_NS
    whole_ns = end_ns - begin_ns
    flags = _stamped_by_kernel(sample, reply)
    if stepped or not 0 <= whole_ns <= seen_ns + STEP_TOLERANCE_NS:
        whole_ns, flags = seen_ns, Flag.CLOCK_STEPPED if stepped else Flag.NONE
    stay_ns = reply.reflected_ns - reply.received_ns
    believable = 0 <= stay_ns < whole_ns + STAMPING_NS
    if not believable:
        flags |= Flag.CLOCK_STEPPED
    return Trip(
        whole_ns,
        _round_ns(whole_ns, stay_ns) if believable else None,
        reply.received_ns - begin_ns,
        end_ns - reply.reflected_ns,
        flags,
    )


def _round_ns(whole_ns: int, stay_ns: int) -> int:
    """The round trip without the reflector's stay, but where its times leave none: then the most it is."""
    round_ns = whole_ns - stay_ns
    return round_ns if round_ns >= SHORTEST_NS else min(whole_ns, round_ns + STAMPING_NS)


def report(session: Session, wait_ns: int, now_ns: int, earlier: Tally, stateful: bool = True) -> Measurement:
    """The reading of a round, and the end of it; ``now_ns`` is monotonic, ``earlier`` what came too late.

    sent = received + late + lost_out + lost_back + in_flight, where late are the replies of this round after
    ``wait_ns``; late also counts those of the round before that came after its report, where they are lost.
    """
    late, in_flight = 0, 0
    trips: list[Trip | None] = []
    for sample in session.measuring:
        arrived = _in_time(sample, wait_ns)
        trips.append(arrived)
        if sample.reply is None:
            sample.lost = now_ns - sample.sent.monotonic_ns >= wait_ns
            in_flight += not sample.lost
        else:
            late += arrived is None
    lost = session.lost_each_way() if stateful and not in_flight else None
    tally = session.tally
    values = {
        "sent": len(trips),
        "received": len(trips) - trips.count(None),
        "late": tally.late + late + earlier.late,
        "duplicate": tally.duplicate + earlier.duplicate,
        "corrupt": tally.corrupt + earlier.corrupt,
        "foreign": tally.foreign + earlier.foreign,
        "in_flight": in_flight,
        "lost_out": lost[0] if lost else None,
        "lost_back": lost[1] if lost else None,
        **_times(session, trips),
    }
    session.tally = Tally()
    return Measurement(
        "stamp",
        row("stamp", **{name: _fit(name, each) for name, each in values.items()}),
        _flags(session, trips),
    )


def _in_time(sample: Sample, wait_ns: int) -> Trip | None:
    """The trip of a packet that was answered within its wait."""
    arrived = trip(sample, sample.reply) if sample.reply else None
    return arrived if arrived and arrived.whole_ns <= wait_ns else None


def _times(session: Session, trips: Sequence[Trip | None]) -> dict[str, int | None]:
    """The columns of times, and the TTL of the last reply."""
    figures = statistics([each.round_ns if each else None for each in trips])
    values: dict[str, int | None] = dict(zip(_RTT, figures, strict=True))
    replies = [sample.reply for sample in session.measuring if sample.reply]
    values["reply_ttl"] = replies[-1].ttl if replies else None
    if _steps(session) or any(each and Flag.CLOCK_STEPPED in each.flags for each in trips):
        return values
    out = [each.out_ns if each else None for each in trips]
    back = [each.back_ns if each else None for each in trips]
    values["ipdv_out_mean_us"], values["ipdv_back_mean_us"] = _variation(out), _variation(back)
    return values | _one_way(session, out, back)


def _one_way(
    session: Session, out: Sequence[int | None], back: Sequence[int | None]
) -> dict[str, int | None]:
    """One-way delays, when both clocks are synchronised and no delay contradicts that."""
    replies = [sample.reply for sample in session.measuring if sample.reply]
    theirs = [error_ns(reply.error) for reply in replies]
    known = [error for error in theirs if error is not None]
    ways = {"out": sorted(each for each in out if each is not None)}
    ways["back"] = sorted(each for each in back if each is not None)
    if session.error_ns is None or len(known) < len(theirs) or not ways["out"]:
        return {}
    error = session.error_ns + max(known)
    if min(ways["out"][0], ways["back"][0]) < -error - STAMPING_NS:
        return {}
    values: dict[str, int | None] = {"one_way_error_us": -(-error // 1000)}
    for name, ordered in ways.items():
        middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
        for figure, delay in (("min", ordered[0]), ("p50", middle), ("max", ordered[-1])):
            values[f"{name}_{figure}_us"] = _micros(max(delay, 0))
    return values


def _variation(delays: Sequence[int | None]) -> int | None:
    """Mean |ipdv| between consecutive packets that both were answered (RFC 3393), µs."""
    steps = [abs(b - a) for a, b in pairwise(delays) if a is not None and b is not None]
    return _micros(sum(steps) / len(steps)) if steps else None


def _flags(session: Session, trips: Sequence[Trip | None]) -> Flag:
    """What every answered packet has in common; a step of a clock is the whole round's."""
    arrived = [each.flags for each in trips if each]
    flags = Flag.KERNEL_SENT | Flag.KERNEL_RECEIVED if arrived else Flag.NONE
    for each in arrived:
        flags &= each
    if _steps(session) or any(Flag.CLOCK_STEPPED in each for each in arrived):
        flags |= Flag.CLOCK_STEPPED
    return flags


def _steps(session: Session) -> bool:
    """Whether this machine's wall clock was set between two packets of the round."""
    offsets = [sample.sent.wall_ns - sample.sent.monotonic_ns for sample in session.samples]
    return bool(max(offsets) - min(offsets) > STEP_TOLERANCE_NS)


def _stamped_by_kernel(sample: Sample, reply: Reply) -> Flag:
    return (Flag.NONE if sample.transmitted_ns is None else Flag.KERNEL_SENT) | (
        Flag.NONE if reply.at.kernel_ns is None else Flag.KERNEL_RECEIVED
    )


def _micros(nanoseconds: float) -> int:
    return int((nanoseconds + 500) // 1000)


def _fit(name: str, value: int | None) -> int | None:
    return None if value is None else min(value, _LARGEST[name])
