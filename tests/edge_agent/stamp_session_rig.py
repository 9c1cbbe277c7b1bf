"""A STAMP session and a reflector without a network, packet by packet."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_agent.contract import KINDS
from edge_agent.probes.stamp_packet import ReflectedPacket, SenderPacket, decode_sender, encode_reflected
from edge_agent.probes.stamp_session import Session, Tally
from edge_agent.probes.stamp_statistics import report
from edge_agent.probes.stamp_time import error_estimate, to_ntp
from edge_agent.probes.stamps import Stamp

KEY = b"0123456789abcdef"
MS = 1_000_000
START = 1_790_000_000_000 * MS
BOOT = 5_000 * MS
WAIT = 1_000 * MS


def moment(at_ns: int, stepped_ns: int = 0) -> Stamp:
    """``at_ns`` after the start, as a clock sees it that was set by ``stepped_ns``."""
    wall = START + at_ns + stepped_ns
    return Stamp(BOOT + at_ns, wall, wall)


@dataclass
class Far:
    """A reflector without a network, whose clock is ``ahead_ns``."""

    key: bytes | None = None
    ahead_ns: int = 0
    error_ns: int | None = None
    stay_ns: int = 0
    count: int = 0
    seen: list[SenderPacket] = field(default_factory=list)

    def reflect(self, data: bytes, at_ns: int) -> bytes:
        """The reply to a packet that comes so long after the start."""
        packet = decode_sender(data, self.key)
        self.seen.append(packet)
        came = to_ntp(START + at_ns + self.ahead_ns)
        left = to_ntp(START + at_ns + self.ahead_ns + self.stay_ns)
        number, self.count = self.count, self.count + 1
        error = error_estimate(self.error_ns)
        reply = ReflectedPacket(
            number, left, error, packet.ssid, came, packet.sequence, packet.timestamp, packet.error, 63
        )
        return encode_reflected(reply, self.key)


def session(key: bytes | None = None, error_ns: int | None = None) -> Session:
    return Session(77, key, error_ns)


def columns(
    given: Session, wait_ns: int = WAIT, earlier: Tally | None = None, **options: bool
) -> dict[str, int | None]:
    made = report(given, wait_ns, BOOT + 10_000 * MS, earlier or Tally(), **options)
    names = [column.name for column in KINDS["stamp"].columns]
    return {**dict(zip(names, made.values, strict=True)), "flags": int(made.flags)}


def exchange(near: Session, far: Far, at_ms: float, out_ms: float = 10, back_ms: float = 20) -> None:
    """One packet that is answered."""
    at_ns, there_ns = int(at_ms * MS), int((at_ms + out_ms) * MS)
    data = near.packet(moment(at_ns))
    near.transmitted(data, START + at_ns)
    reply = far.reflect(data, there_ns)
    near.received(reply, moment(there_ns + far.stay_ns + int(back_ms * MS)), 62)
