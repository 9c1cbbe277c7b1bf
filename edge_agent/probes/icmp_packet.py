"""ICMP echo messages as bytes (RFC 792, RFC 4443 section 4)."""

from __future__ import annotations

import socket
import struct

HEADER = struct.Struct("!BBHHH")
"""Type, code, checksum, identifier, sequence number."""
HEADER_SIZE = HEADER.size
REQUEST_V4, REQUEST_V6 = 8, 128
REPLY_V4, REPLY_V6 = 0, 129
_V6 = int(socket.AF_INET6)


class EchoForm:
    """The messages of requests that share identifier and payload: most of each is made once.

    The checksum is left to the kernel for IPv6, which knows the source address and checks replies itself.
    """

    __slots__ = ("_identifier", "_ipv6", "_sum", "payload")

    def __init__(self, family: int, identifier: int, payload: bytes) -> None:
        self._ipv6 = family == _V6
        self._identifier = identifier
        self.payload = payload
        self._sum = identifier + _sum(payload)

    def request(self, sequence: int) -> bytes:
        """The request with a sequence number."""
        if self._ipv6:
            return HEADER.pack(REQUEST_V6, 0, 0, self._identifier, sequence) + self.payload
        # The type is never 0, so neither is the sum: its multiples of 65,535 are 65,535, and no checksum.
        check = -(self._sum + sequence + (REQUEST_V4 << 8)) % 0xFFFF
        return HEADER.pack(REQUEST_V4, 0, check, self._identifier, sequence) + self.payload

    def is_intact(self, check: int, sequence: int) -> bool:
        """Whether the checksum is that of the reply, given that the payload is right."""
        return self._ipv6 or (check + self._sum + sequence + (REPLY_V4 << 8)) % 0xFFFF == 0


def ipv4_message(packet: bytes) -> tuple[bytes, int | None]:
    """The message in an IPv4 packet and its TTL (RFC 791: the low nibble counts words of header)."""
    if len(packet) < 20:
        return b"", None
    return packet[(packet[0] & 15) * 4 :], packet[8]


def checksum(message: bytes) -> int:
    """The Internet checksum (RFC 1071); 0 over a message that holds its right checksum."""
    total = _sum(message)
    return 0xFFFF - (total or (0xFFFF if any(message) else 0))


def _sum(data: bytes) -> int:
    """The sum of 16-bit words with end-around carry, 65,535 being told as 0.

    That is the remainder of the data by 65,535, as one large number, which Python takes in one step.
    """
    padded = data + b"\0" if len(data) % 2 else data
    return int.from_bytes(padded, "big") % 0xFFFF
