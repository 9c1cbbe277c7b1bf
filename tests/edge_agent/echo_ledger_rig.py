"""A ledger with a round of requests, and the replies a test gives it."""

from __future__ import annotations

import random
import socket
import struct

from edge_agent.probes import Measurement
from edge_agent.probes.echo_ledger import EchoRound, Ledger, Tally
from edge_agent.probes.echo_statistics import report
from edge_agent.probes.icmp_packet import checksum

MS = 1_000_000
HERE = ("127.0.0.1", 0)
COUNT = 10
IDENTIFIER = 7


def message(identifier: int, sequence: int, data: bytes, intact: bool = True) -> bytes:
    """An echo reply."""
    blank = struct.pack("!BBHHH", 0, 0, 0, identifier, sequence) + data
    check = checksum(blank) ^ (not intact)
    return blank[:2] + check.to_bytes(2, "big") + blank[4:]


class Exchange:
    """A ledger with a round of requests sent 200 ms apart, by an identifier of 7."""

    def __init__(self, sent: int = 3, wait_ms: int = 1000) -> None:
        self.ledger = Ledger(socket.AF_INET, IDENTIFIER, COUNT)
        self.tally = Tally()
        self.round = self.send(sent, 0, wait_ms)

    def send(self, requests: int, start_ms: int, wait_ms: int = 1000) -> EchoRound:
        payload = random.Random(start_ms).randbytes(56)
        new = EchoRound(wait_ms * MS, self.tally, HERE, payload, requests)
        assert self.ledger.open(new)
        for turn in range(requests):
            new.sent((start_ms + 200 * turn) * MS)
        return new

    def reply(
        self,
        place: int,
        ms: float,
        data: bytes | None = None,
        intact: bool = True,
        identifier: int = IDENTIFIER,
        of: EchoRound | None = None,
        kernel_ms: float | None = None,
        source: tuple[str, int] = HERE,
        ttl: int | None = None,
    ) -> None:
        of = of or self.round
        reply = message(identifier, of.first_sequence + place, of.payload if data is None else data, intact)
        kernel_ns = None if kernel_ms is None else int(kernel_ms * MS)
        self.ledger.received(source, reply, int(ms * MS), kernel_ns, ttl)

    def left(self, place: int, ms: float, of: EchoRound | None = None) -> None:
        of = of or self.round
        assert of.form
        packet = b"\0" * 34 + of.form.request(of.first_sequence + place)
        self.ledger.transmitted(packet, 56, int(ms * MS))

    def report(self, ms: int, of: EchoRound | None = None) -> Measurement:
        """The round's report, after which it is closed."""
        of = of or self.round
        measured, _ = report(of, ms * MS)
        self.ledger.close(of, ms * MS)
        return measured
