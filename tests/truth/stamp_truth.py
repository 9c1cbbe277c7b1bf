"""The truth of STAMP sessions, from the wire's log alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.truth.passage import Passage

PORT = 862
_V6, _PAYLOAD_4, _PAYLOAD_6 = b"\x86\xdd", 42, 62
_SIGNED_SIZE = 112
_LOST = ("lost", "outage", "overflow", "corrupted")
"""The kernel drops what is corrupted: its checksum is wrong."""


@dataclass(slots=True)
class Journey:
    """What became of one packet of a session and of the replies to it."""

    out: Passage
    back: list[Passage] = field(default_factory=list)

    @property
    def fate(self) -> str:
        """lost_out, lost_back or received."""
        if self.out.fate in _LOST:
            return "lost_out"
        return "lost_back" if all(each.fate in _LOST for each in self.back) else "received"

    @property
    def out_ns(self) -> int:
        """How long the wire took to the far end."""
        return self.out.written_ns[0] - self.out.read_ns

    @property
    def back_ns(self) -> int:
        """How long the wire took to the near end, of the reply that came first."""
        came, left = min((min(each.written_ns), each.read_ns) for each in self.back if each.written_ns)
        return came - left

    @property
    def copies(self) -> int:
        """Intact replies that came to the near end."""
        return sum(len(each.written_ns) for each in self.back if each.fate not in _LOST)


def sessions(log: Sequence[Passage], count: int) -> list[list[Journey]]:
    """The measuring packets, ``count`` to a session, of every session in the order of sending."""
    journeys: dict[tuple[int, int], Journey] = {}
    found: dict[int, list[Journey]] = {}
    for passage in log:
        if passage.key.protocol != "udp" or PORT not in passage.key.numbers:
            continue
        sequence, timestamp, ssid = _sent(passage)
        if passage.direction == "back":
            journeys[ssid, timestamp].back.append(passage)
            continue
        journey = journeys[ssid, timestamp] = Journey(passage)
        if sequence < count:
            found.setdefault(ssid, []).append(journey)
    return list(found.values())


def _sent(passage: Passage) -> tuple[int, int, int]:
    """Sequence number and timestamp of the sender's packet, and its session id (RFC 8762, RFC 8972)."""
    header = _PAYLOAD_6 if passage.head[12:14] == _V6 else _PAYLOAD_4
    is_signed = passage.length - header >= _SIGNED_SIZE
    ssid_at = 26 if is_signed else 14
    if passage.direction == "out":
        sequence_at, timestamp_at = 0, 16 if is_signed else 4
    else:
        sequence_at, timestamp_at = (48, 64) if is_signed else (24, 28)
    payload = passage.head[header:]
    fields = (payload[sequence_at:][:4], payload[timestamp_at:][:8], payload[ssid_at:][:2])
    sequence, timestamp, ssid = (int.from_bytes(each, "big") for each in fields)
    return sequence, timestamp, ssid
