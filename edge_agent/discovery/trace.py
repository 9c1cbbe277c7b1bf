"""Paris-style traceroute: every probe of one flow, so that no load balancer shows a path that is none.

Routers balance by the addresses, ports and flow label (RFC 6438), which stay the same for all probes;
what tells them apart is the IPv4 identification, or two bytes of payload whose complement beside
them keeps the checksum the same.
"""

from __future__ import annotations

import random
import select
import socket
import struct
import time
from collections.abc import Iterator
from ipaddress import ip_address

from edge_agent.discovery.messages import Hop, PathRequest
from edge_agent.discovery.trace_ledger import TraceLedger

_TIMESTAMP = 35
"""SO_TIMESTAMPNS (asm-generic/socket.h), the type of its control message too."""


class Tracer:
    """One trace over the sockets of its request."""

    def __init__(self, request: PathRequest, rng: random.Random) -> None:
        import edge_agent.discovery.packets as packets  # scapy: half a second and 40 MiB

        self._packets = packets
        self._request = request
        self._sending = socket.socket(fileno=request.sending)
        self._receiving = socket.socket(fileno=request.receiving)
        self._receiving.setblocking(False)
        self._token = rng.randrange(0xFFFF)
        self._quoted = ip_address(request.target).packed
        self._ledger = TraceLedger()

    def run(self) -> list[Hop]:
        """The path: one pass to find its end, then the further attempts up to there."""
        wait_s = self._request.wait_s
        self._pass()
        self._collect(wait_s)
        for _ in range(1, self._request.attempts):
            self._pass()
        self._collect(wait_s)
        return self._ledger.hops()

    def _pass(self) -> None:
        """One probe to each distance, spaced: routers limit how many errors they send."""
        for hop in range(1, self._request.hops + 1):
            if self._ledger.end is not None and hop > self._ledger.end:
                break
            self._send(hop)
            self._drain(time.monotonic() + self._request.spacing_s)

    def _send(self, hop: int) -> None:
        self._token = self._token % 0xFFFF + 1  # never 0, for which the kernel would choose
        request = self._request
        packet = self._packets.path_probe(request, hop, self._token)
        address = (request.target, 0, 0, request.scope) if ":" in request.target else (request.target, 0)
        self._ledger.sent(self._token, hop, time.time_ns())
        self._sending.sendto(packet, address)

    def _collect(self, wait_s: float) -> None:
        until = time.monotonic() + wait_s
        while not self._ledger.complete and time.monotonic() < until:
            self._drain(min(until, time.monotonic() + self._request.spacing_s))

    def _drain(self, until: float) -> None:
        """Take what comes until then."""
        while (left_s := until - time.monotonic()) > 0:
            if not select.select([self._receiving], [], [], left_s)[0]:
                return
            for packet, sender, at_ns in self._waiting():
                if self._quoted not in packet:  # spares scapy the errors of everybody else on this machine
                    continue
                answer = self._packets.read_path_answer(self._request, packet, sender)
                if answer:
                    self._ledger.answered(answer, at_ns)

    def _waiting(self) -> Iterator[tuple[bytes, str, int]]:
        for _ in range(64):  # then the clock is looked at again
            try:
                packet, control, _, sender = self._receiving.recvmsg(2048, 64)
            except BlockingIOError:
                return
            yield packet, str(sender[0]).partition("%")[0], _stamp(control)


def _stamp(control: list[tuple[int, int, bytes]]) -> int:
    """When the kernel received a packet, ns since 1970, or now when it does not say."""
    for level, kind, data in control:
        if (level, kind) == (socket.SOL_SOCKET, _TIMESTAMP) and len(data) == struct.calcsize("@ll"):
            seconds, nanoseconds = struct.unpack("@ll", data)
            return int(seconds) * 1_000_000_000 + int(nanoseconds)
    return time.time_ns()
