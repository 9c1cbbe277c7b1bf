"""What a reading says about its link: round trips sent and lost, and whether the link is down (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge_agent.contract import Outcome, Reading


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
    if reading.outcome is not Outcome.MEASURED:
        return None
    if reading.kind == "echo":
        received = reading["received"]
        answered = None if received is None else received + (reading["late"] or 0)
        return _tally(reading["sent"], reading["in_flight"], answered)
    if reading.kind == "connect":
        answered = None if reading["connected"] is None else reading["connected"] + (reading["refused"] or 0)
        return _tally(reading["sent"], 0, answered)
    return None


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
    """Median round-trip or connect time, µs; None when there was no answer or no such measurement."""
    name = {"echo": "rtt_p50_us", "connect": "connect_p50_us"}.get(reading.kind)
    return reading[name] if name else None
