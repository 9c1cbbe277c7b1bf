"""One STAMP session, which is one round of a link: what was sent, what came back, and what was lost where."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_agent.probes.stamp_packet import (
    ReflectedPacket,
    SenderPacket,
    StampError,
    decode_reflected,
    decode_sender,
    encode_sender,
)
from edge_agent.probes.stamp_time import error_estimate, to_ns, to_ntp
from edge_agent.probes.stamps import Stamp

_MOST_COPIES = 4
"""Replies to one packet, on average, beyond which a reflector's numbers are not believed nor remembered."""


@dataclass(slots=True)
class Tally:
    """Datagrams that were no answer in time."""

    late: int = 0
    duplicate: int = 0
    corrupt: int = 0
    foreign: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """What the first reply to a packet said, and when it came."""

    at: Stamp
    received_ns: int
    """The reflector's wall clock when the packet came, ns; T2."""
    reflected_ns: int
    """The reflector's wall clock when its reply left, ns; T3."""
    error: int
    """The reflector's Error Estimate."""
    ttl: int | None
    """With which the reply came."""
    sender_ttl: int
    """With which the packet reached the reflector."""


@dataclass(slots=True)
class Sample:
    """One packet of the session."""

    sent: Stamp
    timestamp: int
    """As it is on the wire, which tells its reply from any other."""
    transmitted_ns: int | None = None
    """The kernel's time of transmission (CLOCK_REALTIME, ns)."""
    reply: Reply | None = None
    lost: bool = False
    """The report has counted it as lost: a reply that still comes is late."""


@dataclass(slots=True)
class Session:
    """Packets with one session id; a pure matcher, it opens nothing.

    The reflector numbers its replies from 0 for each session (RFC 8762 section 4.3): a number that never
    came was a packet lost on its way back, and a packet that has no number was lost on its way out.
    """

    ssid: int
    key: bytes | None
    error_ns: int | None
    """Of this machine's clock; None when it is not synchronised."""
    tlvs: bytes = b""
    count: int = 0
    """Packets that measure; the others only tell how many of these arrived."""
    samples: list[Sample] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    _numbers: dict[int, int] = field(default_factory=dict)
    """Whose reply carried which number of the reflector."""
    _is_consistent: bool = True

    def packet(self, now: Stamp, measures: bool = True) -> bytes:
        """The next packet, which leaves now; to be followed by ``unsent`` when it did not."""
        sample = Sample(now, to_ntp(now.wall_ns))
        self.samples.append(sample)
        self.count += measures
        error = error_estimate(self.error_ns)
        sender = SenderPacket(len(self.samples) - 1, sample.timestamp, error, self.ssid, self.tlvs)
        return encode_sender(sender, self.key)

    def unsent(self, measures: bool = True) -> None:
        """Take the last packet back: its number is for the next."""
        self.samples.pop()
        self.count -= measures

    @property
    def measuring(self) -> list[Sample]:
        """The packets that measure, in the order of sending."""
        return self.samples[: self.count]

    @property
    def missing(self) -> int:
        """Packets that measure and have no reply yet."""
        return sum(sample.reply is None for sample in self.measuring)

    @property
    def is_closed(self) -> bool:
        """Whether a packet that was sent after those that measure has its reply."""
        return any(sample.reply is not None for sample in self.samples[self.count :])

    def transmitted(self, payload: bytes, kernel_ns: int) -> None:
        """Note when the kernel handed a packet to the interface."""
        try:
            sent = decode_sender(payload, self.key)
        except StampError:
            return
        sample = self._sample(sent.sequence, sent.timestamp, sent.ssid)
        if sample:
            sample.transmitted_ns = kernel_ns

    def received(self, data: bytes, at: Stamp, ttl: int | None) -> None:
        """Match a datagram of the reflector's by sequence number, timestamp and session id."""
        try:
            packet = decode_reflected(data, self.key)
        except StampError:
            self.tally.corrupt += 1
            return
        sample = self._sample(packet.sender_sequence, packet.sender_timestamp, packet.ssid)
        if sample is None:
            self.tally.foreign += 1
            return
        self._number(packet)
        if sample.reply is not None:
            self.tally.duplicate += 1
            return
        received_ns = to_ns(packet.received, packet.error, at.wall_ns)
        reflected_ns = to_ns(packet.timestamp, packet.error, at.wall_ns)
        sample.reply = Reply(at, received_ns, reflected_ns, packet.error, ttl, packet.sender_ttl)
        self.tally.late += sample.lost

    def lost_each_way(self) -> tuple[int, int] | None:
        """How many packets were lost on the way out and on the way back; None when it cannot be told.

        It cannot when neither the last packet nor a closing one has a reply, for the reflector's count then
        ends too early, nor when the reflector forgot the session midway. A closing packet without a reply
        may have been counted there: without it being clear whether it was, no answer is given. Exact unless
        a packet was duplicated on its way out and the reply to the duplicate was lost.
        """
        missing = self.missing
        if not missing:
            return 0, 0
        is_last_there = self.samples[self.count - 1].reply is not None
        if not (self._is_consistent and (self.is_closed or is_last_there)):
            return None
        least, most = self._unseen(self.count), self._unseen(len(self.samples))
        unsure = sum(sample.reply is None for sample in self.samples[self.count :])
        if unsure and is_last_there and self._is_orderly():
            most = least  # what was counted after the last packet was a closing one
        back = min(most, missing)
        return (missing - back, back) if max(least, most - unsure) >= back else None

    def _unseen(self, count: int) -> int:
        """Numbers that never came, below the largest in a reply to one of the first ``count`` packets."""
        seen = [number for number, whose in self._numbers.items() if whose < count]
        return max(seen, default=-1) + 1 - len(seen)

    def _is_orderly(self) -> bool:
        """Whether nothing shows that packets overtook each other on their way out."""
        order = [self._numbers[number] for number in sorted(self._numbers)]
        return order == sorted(order)

    def _sample(self, sequence: int, timestamp: int, ssid: int) -> Sample | None:
        """The packet so described; a reflector older than RFC 8972 leaves the session id 0."""
        if sequence >= len(self.samples) or ssid not in (self.ssid, 0):
            return None
        sample = self.samples[sequence]
        return sample if sample.timestamp == timestamp else None

    def _number(self, packet: ReflectedPacket) -> None:
        """Remember the reflector's number; a number cannot stand for two packets."""
        number = packet.sequence
        if number >= _MOST_COPIES * len(self.samples):
            self._is_consistent = False
            return
        whose = self._numbers.setdefault(number, packet.sender_sequence)
        self._is_consistent &= whose == packet.sender_sequence
