"""What a reading says about its link: round trips sent and lost, and whether the link is down (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from edge_agent.contract import Outcome, Reading

ANSWERS: Mapping[str, tuple[str, ...]] = {
    "echo": ("received", "late"),
    "stamp": ("received", "late"),
    "connect": ("connected", "refused"),
    "http": ("answered", "refused"),
    "dns": ("answered",),
}
"""By kind, the columns that count what came back for what was sent."""
_TIMES: Mapping[str, str] = {
    "echo": "rtt_{}_us",
    "stamp": "rtt_{}_us",
    "connect": "connect_{}_us",
    "http": "first_byte_us",
    "dns": "lookup_{}_us",
}
"""By kind, the columns of its time."""
WAITING = ("echo", "stamp")
"""Kinds that tell what is still in flight, and a 95th percentile."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Round trips whose outcome is known, and how many of them were answered, in time or late."""

    sent: int
    answered: int

    @property
    def lost(self) -> int:
        """Round trips that nothing came back for; a late reply may be that of an earlier round."""
        return max(self.sent - self.answered, 0)


def tally(reading: Reading) -> Tally | None:
    """The round trips of a reading; None when it did not measure any, which is not loss.

    An echo still in flight is neither received nor lost, and a late reply is a reply. A refused
    connection is an answer: the path works, the service does not.
    """
    names = ANSWERS.get(reading.kind)
    if reading.outcome is not Outcome.MEASURED or names is None:
        return None
    answers = [reading[name] for name in names]
    answered = None if answers[0] is None else sum(each or 0 for each in answers)
    return _tally(reading["sent"], reading["in_flight"] if reading.kind in WAITING else 0, answered)


def _tally(sent: int | None, in_flight: int | None, answered: int | None) -> Tally | None:
    if sent is None or answered is None:
        return None
    return Tally(max(sent - (in_flight or 0), 0), answered)


def total(tallies: Iterable[Tally]) -> Tally:
    """The sum over rounds: a reply late for its own round makes up for it in the next one's count."""
    counted = tuple(tallies)
    return Tally(sum(each.sent for each in counted), sum(each.answered for each in counted))


def is_down(reading: Reading) -> bool | None:
    """Whether the reading says that nothing gets through; None when it cannot tell."""
    if reading.kind == "interface":
        return None if reading["up"] is None else reading["up"] == 0
    counted = tally(reading)
    if counted is None or counted.sent == 0:
        return None
    return counted.lost == counted.sent


def p50_us(reading: Reading) -> int | None:
    """Median round-trip, connect, look-up or first-byte time, µs; None when nothing answered."""
    return _time(reading, "p50")


def p95_us(reading: Reading) -> int | None:
    """95th percentile of the round-trip time, µs; None under 20 replies and for kinds without one."""
    return reading["rtt_p95_us"] if reading.kind in WAITING else None


def max_us(reading: Reading) -> int | None:
    """Longest of the times that p50_us is the median of, µs."""
    return _time(reading, "max")


def _time(reading: Reading, part: str) -> int | None:
    name = _TIMES.get(reading.kind)
    return reading[name.format(part)] if name else None
