"""Frames as the wire sees them: which ones it shapes, how one is recognised, and what became of it."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import Any

HEAD_BYTES = 128
"""Of each frame, kept in the log."""
PAYLOAD_BYTES = 16
_ND = range(133, 138)
_V4, _V6 = b"\x08\x00", b"\x86\xdd"
_ICMP, _TCP, _UDP, _ICMP6 = 1, 6, 17, 58


@dataclass(frozen=True, slots=True)
class Key:
    """What a frame is known by: its protocol, its numbers and the first 16 bytes of its payload.

    The numbers are type, identifier and sequence of ICMP, the ports of UDP, and the ports, sequence
    number and flags of TCP.
    """

    protocol: str
    numbers: tuple[int, ...]
    payload: bytes


@dataclass(frozen=True, slots=True)
class Passage:
    """One frame's way through the wire; all times are ns of CLOCK_REALTIME."""

    direction: str
    """out (near to far) or back (far to near)."""
    index: int
    """Of the frame in its direction, from 0; -1 for one that is not shaped (ARP, neighbour discovery)."""
    read_ns: int
    due_ns: int | None
    written_ns: tuple[int, ...]
    """When each copy left: none for a lost frame."""
    fate: str
    length: int
    head: bytes
    key: Key

    @property
    def late_ns(self) -> int:
        """How much later than due the wire wrote the frame, ns."""
        return self.written_ns[0] - self.due_ns if self.written_ns and self.due_ns else 0

    @classmethod
    def from_log(cls, fields: list[Any]) -> Passage:
        """From a line of the wire's log."""
        direction, index, read_ns, due_ns, written_ns, fate, length, head = fields
        data = bytes.fromhex(head)
        return cls(direction, index, read_ns, due_ns, tuple(written_ns), fate, length, data, key(data))


def shaped(frame: bytes) -> bool:
    """Whether the wire's shape holds for a frame: unicast IP, neighbour discovery excepted."""
    if frame[0] & 1:
        return False
    if frame[12:14] == _V6:
        return not (frame[20] == _ICMP6 and len(frame) > 54 and frame[54] in _ND)
    return frame[12:14] == _V4


def key(frame: bytes) -> Key:
    """What a frame is known by; ("other", (ether type,), payload) when it is nothing known."""
    kind = frame[12:14]
    if kind == _V4 and len(frame) >= 34:
        return _transport(frame[23], frame[14 + (frame[14] & 15) * 4 :])
    if kind == _V6 and len(frame) >= 54:
        return _transport(frame[20], frame[54:])
    return Key("other", (int.from_bytes(kind, "big"),), frame[14 : 14 + PAYLOAD_BYTES])


def _transport(protocol: int, data: bytes) -> Key:
    padded = data.ljust(20, b"\0")
    if protocol in (_ICMP, _ICMP6):
        name, header, numbers = "icmp", 8, (padded[0], *struct.unpack_from("!HH", padded, 4))
    elif protocol == _UDP:
        name, header, numbers = "udp", 8, struct.unpack_from("!HH", padded)
    elif protocol == _TCP:
        name, header, numbers = (
            "tcp",
            (padded[12] >> 4) * 4,
            (*struct.unpack_from("!HHI", padded), padded[13]),
        )
    else:
        name, header, numbers = str(protocol), 0, ()
    return Key(name, numbers, data[header : header + PAYLOAD_BYTES])


def address(frame: bytes) -> tuple[str, str]:
    """Source and destination address of an IP frame; empty ones when it is none."""
    if frame[12:14] == _V4:
        return socket.inet_ntop(socket.AF_INET, frame[26:30]), socket.inet_ntop(socket.AF_INET, frame[30:34])
    if frame[12:14] == _V6:
        six = socket.AF_INET6
        return socket.inet_ntop(six, frame[22:38]), socket.inet_ntop(six, frame[38:54])
    return "", ""
