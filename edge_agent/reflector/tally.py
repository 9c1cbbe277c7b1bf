"""What a reflector's packets have cost, by the way they came: summed up here, booked by somebody else."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from collections.abc import Collection

from edge_agent.probes.probe import IPV4_HEADER, IPV6_HEADER, UDP_HEADER
from edge_agent.probes.stamped_udp import Datagram
from edge_agent.probes.stamps import Control

Way = int | str
"""The number of the interface that a packet came by; or the address of a peer, where only that is known."""
MOST_WAYS = 4_096
"""Ways remembered between two hand-overs; what comes by others is summed up under UNKNOWN."""
UNKNOWN: Way = 0

_IP_PKTINFO, _IPV6_PKTINFO = getattr(socket, "IP_PKTINFO", 8), 50
_INFO_4, _INFO_6 = struct.Struct("=i4s4s"), struct.Struct("=16si")
_MAPPED = "::ffff:"


class Tally:
    """IP bytes that were received and sent; additions in memory only, for each packet goes through it."""

    def __init__(self) -> None:
        self._passed: Counter[Way] = Counter()
        self.closed: Collection[Way] = ()
        """Ways by which nothing is answered now: their budget is spent."""
        self.withheld = 0
        """Packets and connections that were not answered because of that."""

    def is_closed(self, way: Way) -> bool:
        """Whether what came by this way is not to be answered; counts it then."""
        closed = way in self.closed
        self.withheld += closed
        return closed

    def took(self, datagram: Datagram, answer_bytes: int | None = None) -> None:
        """Add a datagram, and its answer where there was one."""
        header = (IPV4_HEADER if is_ipv4(str(datagram.source[0])) else IPV6_HEADER) + UDP_HEADER
        answer = 0 if answer_bytes is None else header + answer_bytes
        self.add(came_by(datagram.control), header + len(datagram.data) + answer)

    def add(self, way: Way, size: int) -> None:
        """Add so many bytes."""
        is_full = len(self._passed) >= MOST_WAYS and way not in self._passed
        self._passed[UNKNOWN if is_full else way] += size

    def take(self) -> dict[Way, int]:
        """The sums since the last time, which begin anew."""
        taken = dict(self._passed)
        self._passed.clear()
        return taken


def is_ipv4(address: str) -> bool:
    """Whether packets of this address are IPv4's; a mapped one is of a socket for both families."""
    return ":" not in address or address.lower().startswith(_MAPPED)


def came_by(control: Control) -> int:
    """The number of the interface among control messages; 0 when it is not there (ip(7), ipv6(7))."""
    for level, kind, data in control:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO) and len(data) >= _INFO_4.size:
            return int(_INFO_4.unpack_from(data)[0])
        if (level, kind) == (socket.IPPROTO_IPV6, _IPV6_PKTINFO) and len(data) >= _INFO_6.size:
            return int(_INFO_6.unpack_from(data)[1])
    return 0
