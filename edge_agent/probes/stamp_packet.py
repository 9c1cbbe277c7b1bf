"""STAMP packets on the wire: RFC 8762 in both modes, with the session id and TLVs of RFC 8972.

A packet has 44 bytes, or 112 in authenticated mode, where an HMAC-SHA-256 cut to 128 bits covers the first
96 (RFC 8762 section 4.4). TLVs may follow; those that we send are padding.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from dataclasses import dataclass

PLAIN_SIZE = 44
SIGNED_SIZE = 112
LARGEST = 1_452
"""Bytes of UDP payload that fit an Ethernet frame with IPv6."""
TLV_HEADER = 4
_MAC_AT = 96

_SENDER = struct.Struct("!IQHH28x")
_SENDER_SIGNED = struct.Struct("!I12xQHH68x")
_REFLECTED = struct.Struct("!IQHHQIQHxxB3x")
_REFLECTED_SIGNED = struct.Struct("!I12xQHH4xQ8xI12xQH6xB15x")

_TLV = struct.Struct("!BBH")
_PADDING = 1
_UNRECOGNISED, _MALFORMED = 0x80, 0x40


class StampError(ValueError):
    """The bytes are no STAMP packet."""


class Reflection(StampError):
    """The packet is a reflector's own: to answer it would set two reflectors on each other for ever."""


class NotAuthentic(StampError):
    """The packet is not signed with the shared key."""


@dataclass(frozen=True, slots=True)
class SenderPacket:
    """A Session-Sender test packet (RFC 8762 section 4.2)."""

    sequence: int
    timestamp: int
    """As on the wire, 64 bits."""
    error: int
    """Error Estimate as on the wire, 16 bits."""
    ssid: int
    """Session identifier (RFC 8972 section 3), 0 for none."""
    tlvs: bytes = b""


@dataclass(frozen=True, slots=True)
class ReflectedPacket:
    """A Session-Reflector test packet (RFC 8762 section 4.3)."""

    sequence: int
    timestamp: int
    """When it left the reflector; as on the wire, like all timestamps and error estimates here."""
    error: int
    ssid: int
    received: int
    """When the sender's packet reached the reflector."""
    sender_sequence: int
    sender_timestamp: int
    sender_error: int
    sender_ttl: int
    """TTL or hop limit with which the sender's packet reached the reflector."""
    tlvs: bytes = b""


def padding(size: int) -> bytes:
    """An Extra Padding TLV (RFC 8972 section 4.1) of so many bytes beside its header."""
    return _TLV.pack(_UNRECOGNISED, _PADDING, size) + bytes(size)


def encode_sender(packet: SenderPacket, key: bytes | None) -> bytes:
    """The bytes of a sender's packet, signed when there is a key."""
    layout = _SENDER_SIGNED if key else _SENDER
    base = layout.pack(packet.sequence, packet.timestamp, packet.error, packet.ssid)
    return _signed(base, key) + packet.tlvs


def decode_sender(data: bytes, key: bytes | None) -> SenderPacket:
    """The sender's packet; raises StampError when it is short or, with a key, not signed with it."""
    size = _checked(data, key)
    layout, received_at = (_SENDER_SIGNED, 32) if key else (_SENDER, 16)
    # Zeros in a sender's packet, the receive timestamp in a reflector's.
    if any(data[received_at : received_at + 8]):
        raise Reflection("the packet has been reflected already")
    return SenderPacket(*(*layout.unpack_from(data), data[size:]))


def encode_reflected(packet: ReflectedPacket, key: bytes | None) -> bytes:
    """The bytes of a reflector's packet, signed when there is a key."""
    base = (_REFLECTED_SIGNED if key else _REFLECTED).pack(
        packet.sequence,
        packet.timestamp,
        packet.error,
        packet.ssid,
        packet.received,
        packet.sender_sequence,
        packet.sender_timestamp,
        packet.sender_error,
        packet.sender_ttl,
    )
    return _signed(base, key) + packet.tlvs


def decode_reflected(data: bytes, key: bytes | None) -> ReflectedPacket:
    """The reflector's packet; raises StampError when it is short or, with a key, not signed with it."""
    size = _checked(data, key)
    layout = _REFLECTED_SIGNED if key else _REFLECTED
    return ReflectedPacket(*(*layout.unpack_from(data), data[size:]))


def reflected_tlvs(tlvs: bytes) -> bytes:
    """What a reflector returns for TLVs: the same bytes, with flags for what it did not take (RFC 8972 4).

    Only padding is understood; a TLV that says it is longer than the packet ends the list.
    """
    returned = bytearray(tlvs)
    at = 0
    while at < len(returned):
        end = len(returned)
        if at + TLV_HEADER <= end:
            _, kind, length = _TLV.unpack_from(returned, at)
            end = at + TLV_HEADER + length
            returned[at] = 0 if kind == _PADDING else _UNRECOGNISED
        if end > len(returned) or end - at < TLV_HEADER:
            returned[at] = _MALFORMED
        at = end
    return bytes(returned)


def _signed(base: bytes, key: bytes | None) -> bytes:
    return base + _mac(base, key) if key else base


def _mac(base: bytes, key: bytes) -> bytes:
    return hmac.digest(key, base, hashlib.sha256)[:16]


def _checked(data: bytes, key: bytes | None) -> int:
    """The size of the packet without TLVs; raises StampError."""
    size = SIGNED_SIZE if key else PLAIN_SIZE
    if len(data) < size:
        raise StampError(f"{len(data)} bytes are not the {size} of a STAMP packet")
    if key and not hmac.compare_digest(data[_MAC_AT:SIGNED_SIZE], _mac(data[:_MAC_AT], key)):
        raise NotAuthentic("the packet is not signed with the shared key")
    return size
