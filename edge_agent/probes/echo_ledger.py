"""Which reply belongs to which echo request, and which replies are late, doubled or damaged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from edge_agent.contract import Flag
from edge_agent.probes.icmp_packet import EchoMessage
from edge_agent.probes.icmp_socket import Stamp
from edge_agent.probes.resolve import Endpoint

STEP_TOLERANCE_NS = 1_000_000
"""How far two readings of wall minus monotonic time may differ before the wall clock counts as stepped."""

TOKEN_SIZE = 8
"""Bytes at the head of a payload that tell our reply from a stranger's, even when the rest was damaged."""


@dataclass(slots=True)
class Tally:
    """Replies of a link that are no answer, counted since its last report."""

    late: int = 0
    duplicate: int = 0
    corrupt: int = 0


@dataclass(slots=True)
class EchoRound:
    """The requests of one round of one link."""

    wait_ns: int
    """How long each request waits for its reply; a later one is late."""
    tally: Tally
    answered: Callable[[], None] = lambda: None
    """Called when no request of the round lacks its reply any more."""
    samples: list[Sample] = field(default_factory=list)
    unanswered: int = 0


@dataclass(slots=True)
class Sample:
    """One echo request, when it left and when its first good reply came."""

    round: EchoRound
    endpoint: Endpoint
    sequence: int
    payload: bytes
    sent: Stamp
    transmitted_ns: int | None = None
    """The kernel's time of transmission (CLOCK_REALTIME, ns)."""
    reply: Stamp | None = None
    lost: bool = False
    """Its round's report has counted it as lost: a reply that still comes is late."""


def round_trip(sent: Stamp, transmitted_ns: int | None, reply: Stamp) -> tuple[int, Flag]:
    """Round-trip time in ns from the best stamps there are, and whose they were.

    The kernel stamps with the wall clock: where that was stepped meanwhile, or the result contradicts what
    user space saw on the monotonic clock, the latter counts.
    """
    seen_ns = reply.monotonic_ns - sent.monotonic_ns
    stepped_ns = (reply.wall_ns - sent.wall_ns) - seen_ns
    flags = (Flag.NONE if transmitted_ns is None else Flag.KERNEL_SENT) | (
        Flag.NONE if reply.kernel_ns is None else Flag.KERNEL_RECEIVED
    )
    start_ns = sent.wall_ns if transmitted_ns is None else transmitted_ns
    end_ns = reply.wall_ns if reply.kernel_ns is None else reply.kernel_ns
    plausible = 0 <= end_ns - start_ns <= seen_ns + STEP_TOLERANCE_NS
    if flags is Flag.NONE or not plausible or abs(stepped_ns) > STEP_TOLERANCE_NS:
        return seen_ns, Flag.NONE
    return end_ns - start_ns, flags


def _is_answer(payload: bytes, sent: bytes) -> bool:
    """Whether a payload is the random one that was sent, damaged or not, and not another program's."""
    return payload[:TOKEN_SIZE] == sent[:TOKEN_SIZE] or payload[TOKEN_SIZE:] == sent[TOKEN_SIZE:]


class Ledger:
    """The requests of one socket that may still be answered; a pure matcher, it opens nothing."""

    def __init__(self, identifier: int) -> None:
        self._identifier = identifier
        self._samples: dict[int, Sample] = {}

    def __len__(self) -> int:
        return len(self._samples)

    def sent(self, sample: Sample) -> None:
        """Expect the answer; a request of the same sequence number, 65,536 requests ago, is forgotten."""
        self._samples.pop(sample.sequence, None)  # so that the order of the dict stays the order of sending
        self._samples[sample.sequence] = sample
        sample.round.samples.append(sample)
        sample.round.unanswered += 1

    def transmitted(self, sequence: int, payload: bytes, kernel_ns: int) -> None:
        """Note when the kernel handed the request to the interface."""
        sample = self._samples.get(sequence)
        if sample and sample.payload == payload:
            sample.transmitted_ns = kernel_ns

    def received(self, source: Endpoint, reply: EchoMessage, at: Stamp) -> None:
        """Match a reply by identifier, sequence, source and payload; what matches nothing is not ours."""
        sample = self._samples.get(reply.sequence)
        if sample is None or reply.identifier != self._identifier or source != sample.endpoint:
            return
        if not _is_answer(reply.payload, sample.payload):
            return
        tally = sample.round.tally
        if not reply.intact or reply.payload != sample.payload:
            tally.corrupt += 1
        elif sample.reply is not None:
            tally.duplicate += 1
        else:
            self._answer(sample, at)

    def forget(self, before_ns: int) -> None:
        """Give up on requests sent before this monotonic time."""
        old = []
        for sequence, sample in self._samples.items():
            if sample.sent.monotonic_ns >= before_ns:
                break
            old.append(sequence)
        for sequence in old:
            del self._samples[sequence]

    def _answer(self, sample: Sample, at: Stamp) -> None:
        sample.reply = at
        sample.round.unanswered -= 1
        if sample.round.unanswered == 0:
            sample.round.answered()
        if sample.lost:
            sample.round.tally.late += 1
