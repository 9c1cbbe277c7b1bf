"""Which reply belongs to which echo request, and which replies are late, doubled, damaged or foreign.

A round takes a block of consecutive sequence numbers, so that a reply is found with one look-up for its
round and a place in it, and a request costs no object of its own.
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from edge_agent.probes.icmp_packet import HEADER, HEADER_SIZE, REPLY_V4, REPLY_V6, EchoForm
from edge_agent.probes.icmp_socket import Sockaddr

SEQUENCES = 1 << 16
LARGEST_COUNT = (1 << 16) - 2
TOKEN_SIZE = 8
"""Bytes at the head of a payload that tell our reply from a stranger's, even when the rest was damaged."""
TOLERANCE_NS = 1_000_000
"""How far a kernel's stamp may be outside of what user space saw before it is not believed."""


_SEQUENCE = struct.Struct("!H")
OPEN, ANSWERED, LOST = range(3)
"""The fate of a request; LOST: its round's report has counted it so, and a reply that still comes is late."""


@dataclass(slots=True)
class Tally:
    """What concerns a link beyond a round: replies that are no answer, counted since its last report."""

    late: int = 0
    duplicate: int = 0
    corrupt: int = 0
    foreign: int = 0
    """With our identifier and sequence, but from another source or with a payload that is not ours."""
    ttl: int | None = None
    """Of the last answer."""

    def take(self, late: int) -> tuple[int, int, int, int]:
        """Late (and as many more), duplicate, corrupt and foreign replies, each bounded; they start anew."""
        counts = self.late + late, self.duplicate, self.corrupt, self.foreign
        if any(counts):
            self.late = self.duplicate = self.corrupt = self.foreign = 0
            late, duplicate, corrupt, foreign = (min(each, LARGEST_COUNT) for each in counts)
            return late, duplicate, corrupt, foreign
        return counts


@dataclass(slots=True)
class EchoRound:
    """The requests of one round of one link; lists are in the order of sending, times monotonic, ns."""

    wait_ns: int
    """How long each request waits for its reply; a later one is late."""
    tally: Tally
    sockaddr: Sockaddr
    payload: bytes
    count: int
    """The most requests that it may send."""
    answered: Callable[[], None] = lambda: None
    """Called when all that were to be sent are sent and answered."""
    turn: int = 0
    """How many requests have had their turn, refused ones included."""
    first_sequence: int = 0
    form: EchoForm | None = None
    """Its messages, once it has its sequence numbers."""
    sent_ns: list[int | None] = field(default_factory=list)
    """When user space sent; None for a request that this machine refused to send."""
    left_ns: list[int | None] = field(default_factory=list)
    """When the kernel handed it to the interface, where that is known."""
    reply_ns: list[int | None] = field(default_factory=list)
    """When the first good reply came."""
    fates: bytearray = field(default_factory=bytearray)
    unanswered: int = 0
    kernel_received: bool = True
    """Every reply so far was stamped by the kernel."""
    ttl: int | None = None
    path_changed: bool = False

    def sent(self, now_ns: int) -> None:
        """Its next request was sent."""
        self.sent_ns[self.turn] = now_ns
        self.turn += 1
        self.unanswered += 1

    def __post_init__(self) -> None:
        self.sent_ns = [None] * self.count
        self.left_ns = [None] * self.count
        self.reply_ns = [None] * self.count
        self.fates = bytearray(self.count)


class Ledger:
    """The rounds of one socket that may still be answered; a pure matcher, it opens nothing."""

    def __init__(self, family: int, identifier: int, count: int, first_block: int = 0) -> None:
        """``count`` is the number of sequence numbers of a round's block."""
        self._family = family
        self._reply = REPLY_V6 if family == socket.AF_INET6 else REPLY_V4
        self._identifier = identifier
        self._count = count
        blocks = SEQUENCES // count
        self._free = deque((first_block + block) % blocks for block in range(blocks))
        self._ended: deque[tuple[int, int]] = deque()
        self._rounds: dict[int, EchoRound] = {}

    def __len__(self) -> int:
        """How many rounds it remembers."""
        return len(self._rounds)

    def open(self, echo_round: EchoRound) -> bool:
        """Give a round its sequence numbers, the longest unused ones; False when all are in use."""
        if not self._free and not self._forget_oldest():
            return False
        block = self._free.popleft()
        echo_round.first_sequence = block * self._count
        echo_round.form = EchoForm(self._family, self._identifier, echo_round.payload)
        self._rounds[block] = echo_round
        return True

    def close(self, echo_round: EchoRound, now_ns: int) -> None:
        """End a round: of what it knew, only what tells a late reply is kept."""
        echo_round.sent_ns = echo_round.left_ns = echo_round.reply_ns = []
        echo_round.answered = lambda: None
        self._ended.append((echo_round.first_sequence // self._count, now_ns))

    def forget(self, before_ns: int) -> None:
        """Give up on the rounds that were closed before this monotonic time."""
        while self._ended and self._ended[0][1] < before_ns:
            self._forget_oldest()

    def transmitted(self, packet: bytes, size: int, left_ns: int) -> None:
        """Note when the kernel handed a packet to the interface, that ends with our request of this size."""
        if len(packet) < size + HEADER_SIZE:
            return
        (sequence,) = _SEQUENCE.unpack_from(packet, len(packet) - size - _SEQUENCE.size)
        block = sequence // self._count
        place = sequence - block * self._count
        echo_round = self._rounds.get(block)
        if echo_round is None or place >= len(echo_round.left_ns):  # it has none once it is closed
            return
        if not packet.endswith(echo_round.payload):
            return
        sent_ns = echo_round.sent_ns[place]
        if sent_ns is not None and left_ns >= sent_ns - TOLERANCE_NS:
            echo_round.left_ns[place] = left_ns

    def received(
        self, source: Sockaddr, message: bytes, seen_ns: int, kernel_ns: int | None, ttl: int | None
    ) -> None:
        """Match a reply by identifier, sequence, source and payload; ``seen_ns`` is user space's time."""
        if len(message) < HEADER_SIZE:
            return
        kind, code, check, identifier, sequence = HEADER.unpack_from(message)
        if identifier != self._identifier or kind != self._reply or code:
            return
        block = sequence // self._count
        place = sequence - block * self._count
        echo_round = self._rounds.get(block)
        if echo_round is None or place >= echo_round.turn or echo_round.form is None:
            return
        payload, tally = message[HEADER_SIZE:], echo_round.tally
        if source != echo_round.sockaddr and not _same(source, echo_round.sockaddr):
            tally.foreign += 1
        elif payload == echo_round.payload and echo_round.form.is_intact(check, sequence):
            _answer(echo_round, place, seen_ns, kernel_ns, ttl)
        elif _is_ours(payload, echo_round.payload):
            tally.corrupt += 1
        else:
            tally.foreign += 1

    def _forget_oldest(self) -> bool:
        if not self._ended:
            return False
        block, _ = self._ended.popleft()
        del self._rounds[block]
        self._free.append(block)
        return True


def _answer(echo_round: EchoRound, place: int, seen_ns: int, kernel_ns: int | None, ttl: int | None) -> None:
    fates, tally = echo_round.fates, echo_round.tally
    fate, fates[place] = fates[place], ANSWERED
    if fate == ANSWERED:
        tally.duplicate += 1
        return
    if fate == LOST:
        tally.late += 1
    if not echo_round.reply_ns:  # closed
        return
    sent_ns = echo_round.sent_ns[place]
    earliest_ns = seen_ns if sent_ns is None else sent_ns - TOLERANCE_NS
    if kernel_ns is None or not earliest_ns <= kernel_ns <= seen_ns + TOLERANCE_NS:
        kernel_ns, echo_round.kernel_received = seen_ns, False
    echo_round.reply_ns[place] = kernel_ns
    if ttl is not None and ttl != tally.ttl:
        echo_round.path_changed |= tally.ttl is not None
        tally.ttl = ttl
    echo_round.ttl = ttl
    echo_round.unanswered -= 1
    if not echo_round.unanswered and echo_round.turn == echo_round.count:
        echo_round.answered()


def _is_ours(payload: bytes, sent: bytes) -> bool:
    """Whether a payload is the random one that was sent, damaged, and not another program's."""
    return payload[:TOKEN_SIZE] == sent[:TOKEN_SIZE] or payload[TOKEN_SIZE:] == sent[TOKEN_SIZE:]


def _same(source: Sockaddr, target: Sockaddr) -> bool:
    """Whether two socket addresses are one host: the kernel names the zone in the address, or port 0 not."""
    scope, wanted = (each[3] if len(each) == 4 else 0 for each in (source, target))
    return source[0].partition("%")[0] == target[0] and scope == wanted
