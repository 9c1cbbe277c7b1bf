"""A look around an interface: hear LLDP, ARP and neighbour discovery, ask, read the kernel's tables."""

from __future__ import annotations

import select
import socket
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address

from edge_agent.discovery.messages import MAX_FINDINGS, Neighbour, NeighbourRequest
from edge_agent.discovery.neighbour_table import neighbours

MAX_HEARD = 600
"""Packets of each protocol that are kept, so that a crowd in one hides no other: 3 MB at most in all."""
MAX_ANSWERS = 60
"""More of them that are kept when they speak of whom we ask for."""
ANSWER_S = 1.0
"""How long an answer to our own question is waited for."""
_ETHERNET = 1
_OWN = 4
"""PACKET_OUTGOING (packet(7)): a frame of this machine itself."""
_HOP_LIMIT = 52
"""IPV6_HOPLIMIT (ipv6(7)), which a message of this link has at 255 (RFC 4861 section 7.1)."""


class Listener:
    """What is heard on the sockets of a request; nothing is decoded before the listening is over."""

    def __init__(self, request: NeighbourRequest) -> None:
        self._request = request
        self._arp = socket.socket(fileno=request.arp)
        self._lldp = socket.socket(fileno=request.lldp)
        self._icmp = None if request.icmp < 0 else socket.socket(fileno=request.icmp)
        self._asked = [ip_address(each) for each in request.ask]
        self.heard: dict[str, dict[tuple[bytes, str], None]] = {"lldp": {}, "arp": {}, "nd": {}}

    def run(self) -> list[Neighbour]:
        """Listen, ask, and join it with what the kernel knows: LLDP first, for it tells most."""
        self.listen(self._request.listen_s)
        import edge_agent.discovery.packets as packets  # scapy: half a second and 40 MiB

        self._ask(packets.question)
        known = neighbours(socket.if_nametoindex(self._request.device), self._request.max_age_s)
        readers = {"lldp": packets.read_lldp, "arp": packets.read_arp, "nd": packets.read_discovery}
        heard = [
            readers[kind](*((data, sender) if kind == "nd" else (data,)))
            for kind, kept in self.heard.items()
            for data, sender in kept
        ]
        asked = [str(each) for each in self._asked]
        return together([neighbour for neighbour in heard if neighbour], known, asked)

    def listen(self, for_s: float) -> None:
        """Keep each different packet that comes in that time, as long as there is room for it."""
        until = time.monotonic() + for_s
        sockets = [each for each in (self._arp, self._lldp, self._icmp) if each]
        while (left_s := until - time.monotonic()) > 0:
            for ready in select.select(sockets, [], [], left_s)[0]:
                self._take(ready)

    def _take(self, ready: socket.socket) -> None:
        try:
            packet, control, _, sender = ready.recvmsg(1500, 64)
        except OSError:  # the interface went down: what was heard until then counts
            time.sleep(0.1)
            return
        if ready is self._icmp:
            limits = [int.from_bytes(data, sys.byteorder) for _, kind, data in control if kind == _HOP_LIMIT]
            if limits == [255]:
                self.hear("nd", packet, str(sender[0]).partition("%")[0])
        elif sender[2] != _OWN and sender[3] == _ETHERNET:
            self.hear("lldp" if ready is self._lldp else "arp", packet)

    def hear(self, kind: str, packet: bytes, sender: str = "") -> None:
        """Keep a packet of a protocol ("lldp", "arp" or "nd"), unless there are too many of them."""
        room = MAX_HEARD + MAX_ANSWERS * any(each.packed in packet for each in self._asked)
        if len(self.heard[kind]) < room:
            self.heard[kind][packet, sender] = None

    def _ask(self, question: Callable[[str, str, str], bytes]) -> None:
        _, _, _, hardware, mac = self._arp.getsockname()[:5]
        if hardware != _ETHERNET:  # a tunnel has no neighbours to resolve
            return
        for asked in self._request.ask:
            self._arp.send(question(asked, self._request.source, mac.hex(":")))
        if self._request.ask:
            self.listen(ANSWER_S)


def together(
    heard: Iterable[Neighbour], known: Iterable[Neighbour], asked: Sequence[str] = ()
) -> list[Neighbour]:
    """Each neighbour once, LLDP first, then whom we asked for; what was heard is newer than what is known."""
    everyone: dict[tuple[str, ...], Neighbour] = {}
    for each in (*known, *heard):
        key = (each.mac, each.port) if each.protocol == "lldp" else (each.address,)
        everyone[each.protocol, *key] = each

    def rank(each: Neighbour) -> tuple[bool, bool, str]:
        return each.protocol != "lldp", each.address not in asked, each.protocol

    return sorted(everyone.values(), key=rank)[:MAX_FINDINGS]
