"""DNS queries and what is needed of their answers (RFC 1035 section 4), read within bounds."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

TYPES: Mapping[str, int] = {"A": 1, "NS": 2, "AAAA": 28}
"""The record types that may be asked for (RFC 1035 section 3.2.2, RFC 3596 section 2.1)."""

_HEADER = struct.Struct("!HHHHHH")
_RESPONSE = 0x8000
_RECURSION_DESIRED = 0x0100
_CLASS_IN = 1
_POINTER = 0xC0
_MAX_RECORDS = 512
"""More cannot fit a message: a record takes 11 bytes."""


class DnsError(ValueError):
    """Bytes that answer our query by their identifier, but are no DNS message."""


@dataclass(frozen=True, slots=True)
class Query:
    """One question, with the identifier that its answer repeats."""

    identifier: int
    question: bytes
    """Name, type and class, as both messages carry them."""

    @property
    def message(self) -> bytes:
        """The datagram that asks it, with recursion desired."""
        return _HEADER.pack(self.identifier, _RECURSION_DESIRED, 1, 0, 0, 0) + self.question


def question(name: str, record: str) -> bytes:
    """A question of class IN; raises ValueError for a name that DNS cannot carry, or another type."""
    if record not in TYPES:
        raise ValueError(f"{record!r} is not one of {', '.join(TYPES)}")
    labels = name.removesuffix(".").split(".") if name != "." else []
    encoded = b"".join(map(_label, labels)) + b"\0"
    if len(encoded) > 255:
        raise ValueError("a name has at most 253 characters")
    return encoded + struct.pack("!HH", TYPES[record], _CLASS_IN)


def _label(text: str) -> bytes:
    if not text.isascii():
        raise ValueError(f"{text!r} is not ASCII: write it in its xn-- form")
    if not 1 <= len(text) <= 63:
        raise ValueError("each part of a name has 1 to 63 characters")
    return bytes((len(text),)) + text.encode()


def response_code(message: bytes, query: Query) -> int | None:
    """The response code of the query's answer; None for a message that is not its answer.

    A message with our identifier and another question is not ours (it may be forged). One cut off, or with
    records that cannot be followed, raises DnsError. A code is 0 to 15 (RFC 1035 section 4.1.1).
    """
    if len(message) < 4 or message[:2] != query.identifier.to_bytes(2, "big"):
        return None
    flags = int.from_bytes(message[2:4], "big")
    if not flags & _RESPONSE:
        return None
    if len(message) < _HEADER.size:
        raise DnsError("cut off within the header")
    _, _, questions, *records = _HEADER.unpack_from(message)
    code = flags & 0xF
    at = _HEADER.size
    if questions or not code:  # an error may leave the question out
        end = at + len(query.question)
        if len(message) < end:
            raise DnsError("cut off within the question")
        if questions != 1 or not _same(message[at:end], query.question):
            return None
        at = end
    _follow(message, at, sum(records))
    return code


def _same(theirs: bytes, ours: bytes) -> bool:
    """Equal but for the case of letters, which a server may change (RFC 4343)."""
    return theirs[:-4].lower() == ours[:-4].lower() and theirs[-4:] == ours[-4:]


def _follow(message: bytes, at: int, records: int) -> None:
    """Raise DnsError unless so many records follow."""
    if records > _MAX_RECORDS:
        raise DnsError(f"{records} records do not fit")
    for _ in range(records):
        at = _after_name(message, at) + 10
        if at > len(message):
            raise DnsError("cut off within a record")
        at += int.from_bytes(message[at - 2 : at], "big")
        if at > len(message):
            raise DnsError("cut off within the data of a record")


def _after_name(message: bytes, at: int) -> int:
    """Where a name ends: at its pointer, which is not followed, or its empty label."""
    start = at
    while at < len(message):
        length = message[at]
        if length & _POINTER == _POINTER:
            return at + 2
        if length & _POINTER or at - start > 255:
            break
        at += 1 + length
        if not length:
            return at
    raise DnsError("a name does not end")
