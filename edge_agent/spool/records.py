"""What the bodies of frames hold (pure): readings that wait, sealed batches, marks."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from edge_agent.spool.frame import MAX_BODY
from edge_agent.spool.state import MOST, State, decode_state


class Record(IntEnum):
    """The type of a frame."""

    STATE = 1
    READINGS = 2
    CHANGE = 3
    """Readings and a state, in one."""
    OWNER = 4
    BATCH = 5
    ACCEPTED = 6
    SENDING = 7
    ACKED = 8
    ASKED = 9


BAD = (struct.error, ValueError, KeyError, TypeError, OverflowError, RecursionError)
"""What a body raises that was written by nobody, although its checksum is right."""
ROWS_HEAD = struct.Struct("!QIIQ")
_COUNT = struct.Struct("!I")
BATCH_HEAD = struct.Struct("!QHBBQIQ")
SPAN = struct.Struct("!QQ")
OWNER_HEAD = struct.Struct("!QQB")


@dataclass(frozen=True, slots=True)
class Rows:
    """Readings of one commit under consecutive numbers, some of it or all."""

    first: int
    count: int
    before: int
    """Readings of the same commit in the frames before this one."""
    latest_ms: int
    """The newest time among them that the wall clock was sure of; 0 when it was of none."""
    packed: bytes

    @property
    def end(self) -> int:
        """Behind the last number."""
        return self.first + self.count

    def rows(self) -> list[bytes]:
        """The rows; raises ValueError when they cannot be read."""
        try:
            text = zlib.decompressobj(-15).decompress(self.packed, MAX_BODY).decode()
        except zlib.error as exc:
            raise ValueError(str(exc)) from exc
        lines = text.split("\n") if text else []
        if len(lines) != self.count:
            raise ValueError(f"{len(lines)} rows, not {self.count}")
        return [line.encode() for line in lines]

    def encode(self) -> bytes:
        """The body; the count stands at both ends, so that damage at one leaves the other."""
        head = ROWS_HEAD.pack(self.first, self.count, self.before, self.latest_ms)
        return b"".join((head, self.packed, _COUNT.pack(self.count)))


def pack_rows(first: int, rows: Sequence[bytes], before: int, latest_ms: int) -> Rows:
    """Rows under the numbers from ``first`` on."""
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15, 9)
    packed = deflate.compress(b"\n".join(rows)) + deflate.flush()
    return Rows(first, len(rows), before, latest_ms, packed)


def decode_rows(body: bytes | memoryview) -> Rows:
    """The rows of a body; raises struct.error when it is too short."""
    first, count, before, latest_ms = ROWS_HEAD.unpack_from(body)
    if first + count > MOST or not 0 < count < 1 << 20:
        raise ValueError("the numbers of readings make no sense")
    return Rows(first, count, before, latest_ms, bytes(body[ROWS_HEAD.size : -_COUNT.size]))


def claimed_count(tail: bytes | memoryview) -> int:
    """The count at the end of a damaged body of rows."""
    return int(_COUNT.unpack(bytes(tail[-_COUNT.size :]))[0]) if len(tail) >= _COUNT.size else 0


def encode_change(state: State, rows: Rows | None) -> bytes:
    """A state, and the readings that are added with it."""
    given = state.encode()
    return _COUNT.pack(len(given)) + given + (rows.encode() if rows else b"")


def decode_change(body: bytes | memoryview) -> tuple[State, Rows | None]:
    """Both of a change."""
    (size,) = _COUNT.unpack_from(body)
    state = decode_state(bytes(body[4 : 4 + size]))
    rest = body[4 + size :]
    return state, decode_rows(rest) if len(rest) else None


class Trait(IntFlag):
    """What must be known of a batch without reading it."""

    NONE = 0
    URGENT = 1
    """It says that a link changed state."""
    HAS_GAP = 2
    """It says what is missing."""


@dataclass(frozen=True, slots=True)
class BatchHead:
    """What precedes a sealed payload in its frame."""

    first: int
    count: int
    links: int
    """Link definitions in it."""
    traits: int
    """Those of Trait; plain, for a start reads tens of thousands."""
    last_ms: int
    span_ms: int
    sealed_ms: int

    @property
    def end(self) -> int:
        """Behind the last number."""
        return self.first + self.count

    def encode(self, payload: bytes) -> bytes:
        """The body of the batch's frame."""
        fields = (self.first, self.count, self.links, self.traits, self.last_ms, self.span_ms, self.sealed_ms)
        return BATCH_HEAD.pack(*fields) + payload


def decode_batch_head(body: bytes | memoryview) -> BatchHead:
    """The head of a batch's body; the payload follows after BATCH_HEAD.size bytes."""
    first, count, links, traits, last_ms, span_ms, sealed_ms = BATCH_HEAD.unpack_from(body)
    if first + count > MOST or not count:
        raise ValueError("the numbers of a batch make no sense")
    return BatchHead(first, count, links, traits & 3, last_ms, span_ms, sealed_ms)


@dataclass(frozen=True, slots=True)
class Owner:
    """The head of a file: whose it is."""

    epoch: int
    first: int
    """What the file holds begins here; what an older file has of this number or a later one is void."""
    gateway: str
    level: int = 0
    """How often what it holds was made coarser."""

    def encode(self) -> bytes:
        """The body."""
        return OWNER_HEAD.pack(self.epoch, self.first, self.level) + self.gateway.encode()


def decode_owner(body: bytes | memoryview) -> Owner:
    """The owner of a body."""
    epoch, first, level = OWNER_HEAD.unpack_from(body)
    return Owner(epoch, first, bytes(body[OWNER_HEAD.size :]).decode(), level)
