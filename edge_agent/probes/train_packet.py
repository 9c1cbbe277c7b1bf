"""The messages of a capacity train, over UDP: our own protocol, version 1.

    client -> responder   HELLO      who I am (a nonce)
    responder -> client   CHALLENGE  a cookie, which only the owner of the client's address gets to see
    client -> responder   CAR        one packet of a train, with the cookie
    client -> responder   ASK        how much of the train has come, and when?
    responder -> client   REPORT     the answer

No answer is longer than its question, so that a forged source address multiplies nothing. With a shared key,
every message but a CAR ends in an HMAC-SHA-256, cut to 16 bytes, of all before it; the cookie vouches for a
CAR. All numbers are big-endian.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from edge_agent.probes.train_steps import Arrival

MAGIC = b"LPT1"
NONCE_BYTES, COOKIE_BYTES, MAC_BYTES = 8, 16, 16
MOST_PACKETS = 2_000
"""Of a train; what a responder keeps of one is bounded."""
LONGEST = 65_507
"""Payload of a UDP datagram of IPv4."""

_HELLO = struct.Struct("!4sB8s")
_CHALLENGE = struct.Struct("!4sB8s16s")
_CAR = struct.Struct("!4sB8s16sBHH")
_ASK = struct.Struct("!4sB8s16sBHB")
_REPORT = struct.Struct("!4sB8sBBBHHQH")
_RECORD = struct.Struct("!HHI")
_KERNEL = 1

HELLO_BYTES = _CHALLENGE.size
CAR_BYTES = _CAR.size
ASK_BYTES = max(_ASK.size, _REPORT.size)
RECORD_BYTES = _RECORD.size


class Message(IntEnum):
    """The fifth byte of each message."""

    HELLO = 1
    CHALLENGE = 2
    CAR = 3
    ASK = 4
    REPORT = 5


class TrainError(ValueError):
    """The bytes are no message of a train, or not one that the key vouches for."""


@dataclass(frozen=True, slots=True)
class Car:
    """One packet of a train."""

    nonce: bytes
    cookie: bytes
    train: int
    sequence: int
    count: int
    """Packets of the whole train."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A question about a train."""

    nonce: bytes
    cookie: bytes
    train: int
    begin: int
    """The first arrival that is asked for, in the order of arrival."""
    records: int
    """How many of them the answer may hold, by the length of the question."""
    number: int = 0
    """Of the question, modulo 256: an answer that comes late or twice answers no other one."""


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a train."""

    nonce: bytes
    train: int
    is_stamped: bool
    """Whether the kernel stamped every arrival."""
    received: int
    begin: int
    quiet_ns: int
    """Since the last arrival."""
    arrivals: tuple[Arrival, ...]
    number: int = 0
    """Of the question."""


def message_of(data: bytes) -> Message:
    """What a datagram claims to be; raises TrainError when it is nothing of ours."""
    if len(data) < 5 or data[:4] != MAGIC or data[4] not in Message._value2member_map_:
        raise TrainError("no message of a train")
    return Message(data[4])


def hello(nonce: bytes, key: bytes | None) -> bytes:
    """The question for a cookie, as long as its answer."""
    return _signed(_HELLO.pack(MAGIC, Message.HELLO, nonce).ljust(HELLO_BYTES, b"\0"), key)


def parse_hello(data: bytes, key: bytes | None) -> bytes:
    """The nonce of a question for a cookie; raises TrainError."""
    if len(data) < HELLO_BYTES:
        raise TrainError("a question that is shorter than its answer")
    nonce: bytes = _fields(_HELLO, Message.HELLO, _verified(data, key))[0]
    return nonce


def challenge(nonce: bytes, cookie: bytes, key: bytes | None) -> bytes:
    """The cookie for whoever is at the address that the question came from."""
    return _signed(_CHALLENGE.pack(MAGIC, Message.CHALLENGE, nonce, cookie), key)


def parse_challenge(data: bytes, nonce: bytes, key: bytes | None) -> bytes:
    """The cookie; raises TrainError when this does not answer the question with that nonce."""
    answered, cookie = _fields(_CHALLENGE, Message.CHALLENGE, _verified(data, key))
    if answered != nonce:
        raise TrainError("an answer to another question")
    return bytes(cookie)


def cookie_of(secret: bytes, source: str, nonce: bytes) -> bytes:
    """What proves that a client receives what is sent to its address."""
    return hmac.digest(secret, nonce + source.encode(), hashlib.sha256)[:COOKIE_BYTES]


def encode_car(car: Car, payload_bytes: int) -> bytes:
    """One packet of a train, of a payload of that many bytes."""
    head = _CAR.pack(MAGIC, Message.CAR, car.nonce, car.cookie, car.train, car.sequence, car.count)
    return head.ljust(payload_bytes, b"\0")


def parse_car(data: bytes) -> Car:
    """One packet of a train; raises TrainError."""
    car = Car(*_fields(_CAR, Message.CAR, data))
    if not 0 < car.count <= MOST_PACKETS or car.sequence >= car.count:
        raise TrainError("a packet outside of its train")
    return car


def encode_ask(ask: Ask, key: bytes | None) -> bytes:
    """A question, as long as the longest answer to it."""
    body = _ASK.pack(MAGIC, Message.ASK, ask.nonce, ask.cookie, ask.train, ask.begin, ask.number)
    return _signed(body.ljust(ASK_BYTES + ask.records * RECORD_BYTES, b"\0"), key)


def parse_ask(data: bytes, key: bytes | None) -> Ask:
    """A question; raises TrainError."""
    body = _verified(data, key)
    if len(body) < ASK_BYTES:
        raise TrainError("a question that is shorter than its answer")
    nonce, cookie, train, begin, number = _fields(_ASK, Message.ASK, body)
    return Ask(nonce, cookie, train, begin, (len(body) - ASK_BYTES) // RECORD_BYTES, number)


def encode_report(report: Report, key: bytes | None) -> bytes:
    """An answer; times are counted from the train's first arrival."""
    flags = _KERNEL if report.is_stamped else 0
    head = (MAGIC, Message.REPORT, report.nonce, report.train, report.number, flags)
    told = (report.received, report.begin, report.quiet_ns, len(report.arrivals))
    records = b"".join(
        _RECORD.pack(each.sequence, *divmod(each.at_ns & 0xFFFFFFFFFFFF, 1 << 32)) for each in report.arrivals
    )
    return _signed(_REPORT.pack(*head, *told) + records, key)


def parse_report(data: bytes, ask: Ask, key: bytes | None) -> Report:
    """The answer to a question; raises TrainError when it is none, or says what cannot be."""
    body = _verified(data, key)
    nonce, train, number, flags, received, begin, quiet_ns, count = _fields(_REPORT, Message.REPORT, body)
    if (nonce, train, begin, number) != (ask.nonce, ask.train, ask.begin, ask.number):
        raise TrainError("an answer to another question")
    if count > ask.records or len(body) < _REPORT.size + count * RECORD_BYTES or begin + count > received:
        raise TrainError("an answer that does not hold what it says")
    arrivals = _records(body[_REPORT.size :], count)
    return Report(nonce, train, bool(flags & _KERNEL), received, begin, quiet_ns, arrivals, number)


def _records(raw: bytes, count: int) -> tuple[Arrival, ...]:
    found = _RECORD.iter_unpack(raw[: count * RECORD_BYTES])
    return tuple(Arrival(sequence, high << 32 | low) for sequence, high, low in found)


def _fields(form: struct.Struct, message: Message, data: bytes) -> Sequence[Any]:
    """The fields after the type of a message; raises TrainError when it is another, or cut off."""
    if message_of(data) is not message or len(data) < form.size:
        raise TrainError(f"no {message.name} or one cut off")
    return form.unpack_from(data)[2:]


def _signed(body: bytes, key: bytes | None) -> bytes:
    return body if key is None else body + _mac(body, key)


def _verified(data: bytes, key: bytes | None) -> bytes:
    if key is None:
        return data
    body, mac = data[:-MAC_BYTES], data[-MAC_BYTES:]
    if not hmac.compare_digest(_mac(body, key), mac):
        raise TrainError("not signed with our key")
    return body


def _mac(body: bytes, key: bytes) -> bytes:
    return hmac.digest(key, body, hashlib.sha256)[:MAC_BYTES]
