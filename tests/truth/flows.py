"""The truth of TCP connections and of queries, from the wire's log alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.truth.passage import Passage

_SYN, _ACK = 0x02, 0x10


@dataclass
class Flow:
    """The frames of one connection from near, each direction in its order."""

    out: list[Passage] = field(default_factory=list)
    back: list[Passage] = field(default_factory=list)

    @property
    def connect_ns(self) -> int | None:
        """From the SYN's entry to the SYN-ACK's arrival; None when there was none."""
        for each in self.back:
            if each.key.numbers[3] & (_SYN | _ACK) == _SYN | _ACK and each.written_ns:
                return each.written_ns[0] - self.out[0].read_ns
        return None

    def answered_ns(self, messages: int) -> tuple[int, int]:
        """When the last of so many segments with data entered, and when the first answer to it arrived."""
        asked = [each for each in self.out if each.key.payload][messages - 1]
        arrived = next(each for each in self.back if each.key.payload and each.read_ns > asked.written_ns[0])
        return asked.read_ns, arrived.written_ns[0]

    @property
    def began_ns(self) -> int:
        """When the first SYN entered the wire."""
        return self.out[0].read_ns


def flows(log: Sequence[Passage], port: int) -> list[Flow]:
    """The connections to a port of far, in the order of their first SYN."""
    found: dict[int, Flow] = {}
    for each in log:
        if each.key.protocol != "tcp":
            continue
        source, destination = each.key.numbers[:2]
        if each.direction == "out" and destination == port:
            found.setdefault(source, Flow()).out.append(each)
        elif each.direction == "back" and source == port and destination in found:
            found[destination].back.append(each)
    return list(found.values())


def queries_ns(log: Sequence[Passage], port: int) -> list[int | None]:
    """For each datagram to a port of far, how long until its answer arrived; None for never."""
    udp = [each for each in log if each.key.protocol == "udp"]
    came = {
        (each.key.numbers[::-1], each.key.payload[:2]): each.written_ns[0]
        for each in udp
        if each.direction == "back" and each.written_ns
    }
    asked = [each for each in udp if each.direction == "out" and each.key.numbers[1] == port]
    pairs = [(came.get((each.key.numbers, each.key.payload[:2])), each.read_ns) for each in asked]
    return [None if at_ns is None else at_ns - read_ns for at_ns, read_ns in pairs]
