"""Which probe of a trace was answered by whom, and what that makes of the path (pure)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from edge_agent.discovery.messages import MAX_FINDINGS, Hop


@dataclass(frozen=True, slots=True)
class Answer:
    """An ICMP error that quotes one of our probes."""

    token: int
    """Of the probe, so that its distance and its time of sending are known."""
    address: str
    reached: bool
    """The packet got to a host that has no such port: the target."""
    ended: bool
    """No packet gets further than here: the target, or a router that refuses."""


@dataclass(slots=True)
class _Distance:
    sent: int = 0
    times_us: dict[str, list[int]] = field(default_factory=dict)
    """By the address that answered."""
    reached: set[str] = field(default_factory=set)


class TraceLedger:
    """Probes sent and answers taken; each answer counts once, however late it comes."""

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[int, int]] = {}
        self._distances: dict[int, _Distance] = {}
        self.end: int | None = None
        """The smallest distance from which no packet gets further, once it is known."""

    def sent(self, token: int, hop: int, at_ns: int) -> None:
        """A probe was sent."""
        self._waiting[token] = hop, at_ns
        self._distances.setdefault(hop, _Distance()).sent += 1

    def answered(self, answer: Answer, at_ns: int) -> None:
        """An answer came in; ``at_ns`` is of the same clock as that of sent()."""
        hop, sent_ns = self._waiting.pop(answer.token, (0, 0))
        if not hop:
            return
        distance = self._distances[hop]
        times = distance.times_us.setdefault(answer.address, [])
        times.append((at_ns - sent_ns + 500) // 1000)
        if answer.reached:
            distance.reached.add(answer.address)
        if answer.ended:
            self.end = min(hop, self.end or hop)

    @property
    def complete(self) -> bool:
        """Every probe that can still matter was answered."""
        return not any(self.end is None or hop <= self.end for hop, _ in self._waiting.values())

    def hops(self) -> list[Hop]:
        """The path, nearest first, up to its end, or to one silent hop after the last that answered."""
        answering = [hop for hop, distance in self._distances.items() if distance.times_us]
        last = self.end or min(max(answering, default=0) + 1, max(self._distances, default=0))
        return [hop for number in range(1, last + 1) for hop in self._at(number)][:MAX_FINDINGS]

    def _at(self, number: int) -> Iterator[Hop]:
        distance = self._distances.get(number, _Distance())
        if not distance.times_us:
            yield Hop(number, distance.sent, 0, "", None, False)
        for address, times_us in distance.times_us.items():
            # A clock that was set between the two makes a time that nobody measured.
            rtt_us = min((each for each in times_us if 0 <= each < 0xFFFF_FFFF), default=None)
            reached = address in distance.reached
            yield Hop(number, distance.sent, len(times_us), address, rtt_us, reached)
