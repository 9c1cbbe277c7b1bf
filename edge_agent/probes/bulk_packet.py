"""What is said before and after a bulk transfer, over TCP: our own protocol, version 1.

    responder -> client   OFFER    a nonce, and the most it takes
    client -> responder   REQUEST  how much will come, signed where both ends share a key
    client -> responder   so many bytes
    responder -> client   RESULT   how much came, and in what time

All numbers are big-endian. A signature is an HMAC-SHA-256 over nonce and message, cut to 16 bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from typing import Any

MAGIC = b"LPB1"
NONCE_BYTES, MAC_BYTES = 16, 16
_OFFER = struct.Struct("!4s16sQ")
_REQUEST = struct.Struct("!4sQ")
_RESULT = struct.Struct("!4sQQ")
OFFER_BYTES = _OFFER.size
REQUEST_BYTES = _REQUEST.size + MAC_BYTES
RESULT_BYTES = _RESULT.size + MAC_BYTES


class BulkError(ValueError):
    """The bytes are no message of a bulk transfer, or not one that the key vouches for."""


def encode_offer(nonce: bytes, most_bytes: int) -> bytes:
    """What a responder says first."""
    return _OFFER.pack(MAGIC, nonce, most_bytes)


def parse_offer(data: bytes) -> tuple[bytes, int]:
    """The nonce, and the most that the responder takes; raises BulkError."""
    nonce, most_bytes = _unpacked(_OFFER, data)
    return bytes(nonce), most_bytes


def encode_request(nonce: bytes, size: int, key: bytes | None) -> bytes:
    """What a client says before its data."""
    return _signed(_REQUEST.pack(MAGIC, size), nonce, key)


def parse_request(data: bytes, nonce: bytes, key: bytes | None) -> int:
    """How many bytes will come; raises BulkError."""
    (size,) = _unpacked(_REQUEST, _verified(data, nonce, key))
    return int(size)


def encode_result(nonce: bytes, received: int, duration_ns: int, key: bytes | None) -> bytes:
    """What a responder says of the data that came."""
    return _signed(_RESULT.pack(MAGIC, received, duration_ns), nonce, key)


def parse_result(data: bytes, nonce: bytes, key: bytes | None) -> tuple[int, int]:
    """Bytes that came, and ns from the first of them to the last; raises BulkError."""
    received, duration_ns = _unpacked(_RESULT, _verified(data, nonce, key))
    return received, duration_ns


def _unpacked(form: struct.Struct, data: bytes) -> tuple[Any, ...]:
    """The fields after the magic; raises BulkError."""
    if len(data) != form.size or data[:4] != MAGIC:
        raise BulkError("no message of a bulk transfer")
    return form.unpack(data)[1:]


def _signed(body: bytes, nonce: bytes, key: bytes | None) -> bytes:
    return body + (_mac(body, nonce, key) if key else bytes(MAC_BYTES))


def _verified(data: bytes, nonce: bytes, key: bytes | None) -> bytes:
    body, mac = data[:-MAC_BYTES], data[-MAC_BYTES:]
    if key and not hmac.compare_digest(_mac(body, nonce, key), mac):
        raise BulkError("not signed with our key")
    return body


def _mac(body: bytes, nonce: bytes, key: bytes) -> bytes:
    return hmac.digest(key, nonce + body, hashlib.sha256)[:MAC_BYTES]
