"""ICMP echo messages as bytes (RFC 792, RFC 4443 section 4)."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

_HEADER = struct.Struct("!BBHHH")
HEADER_SIZE = _HEADER.size
_REQUEST = {socket.AF_INET: 8, socket.AF_INET6: 128}
_REPLY = {socket.AF_INET: 0, socket.AF_INET6: 129}


@dataclass(frozen=True, slots=True)
class EchoMessage:
    """An echo request or reply; ``intact`` is False when its checksum does not match."""

    identifier: int
    sequence: int
    payload: bytes
    intact: bool = True


def echo_request(family: int, identifier: int, sequence: int, payload: bytes) -> bytes:
    """An echo request; the checksum is left to the kernel for IPv6, which knows the source address."""
    kind = _REQUEST[socket.AddressFamily(family)]
    blank = _HEADER.pack(kind, 0, 0, identifier, sequence) + payload
    if family == socket.AF_INET6:
        return blank
    return _HEADER.pack(kind, 0, checksum(blank), identifier, sequence) + payload


def echo_reply(family: int, message: bytes) -> EchoMessage | None:
    """The echo reply in an ICMP message without its IP header; None when it is something else."""
    if len(message) < HEADER_SIZE:
        return None
    kind, code, _, identifier, sequence = _HEADER.unpack_from(message)
    if kind != _REPLY[socket.AddressFamily(family)] or code != 0:
        return None
    # A raw IPv4 socket gets messages that the kernel has not checked; IPv6 drops the bad ones itself.
    intact = family == socket.AF_INET6 or checksum(message) == 0
    return EchoMessage(identifier, sequence, message[HEADER_SIZE:], intact)


def own_request(packet: bytes, size: int) -> tuple[int, bytes] | None:
    """Sequence and payload (``size`` bytes) of the echo request that a packet ends with."""
    start = len(packet) - size - HEADER_SIZE
    if start < 0:
        return None
    return _HEADER.unpack_from(packet, start)[4], packet[start + HEADER_SIZE :]


def without_ip_header(packet: bytes) -> bytes:
    """The message in an IPv4 packet (RFC 791: the low nibble counts 32-bit words of header)."""
    return packet[(packet[0] & 15) * 4 :] if packet else packet


def checksum(message: bytes) -> int:
    """The Internet checksum (RFC 1071); 0 over a message that holds its right checksum."""
    padded = message + b"\0" if len(message) % 2 else message
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF
