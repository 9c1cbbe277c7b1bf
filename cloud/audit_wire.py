"""A second reader of the wire form, for the audit alone: written from the description, not from the code.

The audit must be able to contradict the ingest path, so nothing here is shared with it: the columns of
each kind, the outcomes and the flags are written out again. A test holds this file against the contract.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from cloud.audit_kinds import COLUMNS, KINDS

T = TypeVar("T")
Content = tuple[int | None, ...]
"""Flags (bits), outcome (code) and columns of a reading."""

MAX_BODY = 65_536
OUTCOMES = (
    "measured",
    "overrun",
    "denied",
    "unresolved",
    "unreachable",
    "no_interface",
    "failed",
    "off_path",
    "over_budget",
)
FLAGS = (
    "kernel_sent",
    "kernel_received",
    "clock_synced",
    "restamped",
    "simulated",
    "path_changed",
    "clock_stepped",
)


class WireError(ValueError):
    """The bytes of an item cannot be read; the message says what does not fit."""


@dataclass(frozen=True, slots=True)
class StoredReading:
    """One reading as the table holds it."""

    link: str
    kind: str
    at_ms: int
    content: Content

    def column(self, name: str) -> int | None:
        """A column of its kind by name."""
        return self.content[2 + COLUMNS[self.kind].index(name)]


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """What one item of the table says."""

    gateway: str
    epoch: int
    first_sequence: int
    readings: tuple[StoredReading, ...]

    @property
    def first_ms(self) -> int:
        """Time of the earliest reading, ms."""
        return min(reading.at_ms for reading in self.readings)


def content_of(reading: Mapping[str, Any]) -> Content:
    """Flags, outcome and columns of a reading written as JSON; WireError for a name that is not known."""
    names = COLUMNS.get(reading["kind"])
    if names is None:
        raise WireError(f"unknown kind {reading['kind']!r}")
    flags = sum(1 << _position(FLAGS, name, "flag") for name in reading.get("flags", ()))
    outcome = _position(OUTCOMES, reading.get("outcome", "measured"), "outcome")
    return (flags, outcome, *map(reading.get, names))


def _position(names: Sequence[str], name: str, what: str) -> int:
    try:
        return names.index(name)
    except ValueError:
        raise WireError(f"unknown {what} {name!r}") from None


def gateway_of(payload: bytes) -> str:
    """The gateway that a payload names, without reading the rest of it; WireError when it names none."""
    if payload[:1] == b"{":
        return read(payload).gateway
    return _Body(_inflate(payload)).text()


def read(payload: bytes) -> StoredBatch:
    """The batch in its packed or its JSON form; raises WireError for anything else."""
    try:
        batch = _read_json(payload) if payload[:1] == b"{" else _read_body(_Body(_inflate(payload)))
    except WireError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise WireError(f"cannot be read: {error!r}") from error
    if not batch.readings:
        raise WireError("holds no reading")
    return batch


def _read_json(payload: bytes) -> StoredBatch:
    given = json.loads(payload)
    readings = tuple(
        StoredReading(name_of(each["link"]), each["kind"], moment_of(each["at_ms"]), content_of(each))
        for each in given["readings"]
    )
    epoch, first_sequence = int(given["epoch"], 16), _a(int, given["first_sequence"])
    return StoredBatch(name_of(given["gateway"]), epoch, first_sequence, readings)


def name_of(value: object) -> str:
    """A gateway's or link's name; WireError when it is no text that UTF-8 can hold."""
    name = _a(str, value)
    name.encode()  # half a surrogate pair raises UnicodeEncodeError, a ValueError
    return name


def moment_of(value: object) -> int:
    """A time in ms since 1970; WireError when it is none of 63 bits."""
    at_ms = _a(int, value)
    if not 0 <= at_ms < 1 << 63:
        raise WireError(f"has the time {str(at_ms)[:30]}, which is not one of 63 bits")
    return at_ms


def _a(kind: type[T], value: object) -> T:
    if not isinstance(value, kind):
        raise WireError(f"has {value!r} where {kind.__name__} belongs")
    return value


def _inflate(payload: bytes) -> bytes:
    if len(payload) < 6 or payload[0] != 1:
        raise WireError("is neither JSON nor version 1")
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        body = inflater.decompress(payload[5:], MAX_BODY + 1)
    except zlib.error as error:
        raise WireError(f"does not inflate: {error}") from error
    if len(body) > MAX_BODY or not inflater.eof or inflater.unused_data:
        raise WireError("does not end where its deflate stream does")
    if zlib.crc32(body) != int.from_bytes(payload[1:5], "big"):
        raise WireError("has a wrong checksum")
    return body


class _Body:
    """A cursor over an inflated body."""

    def __init__(self, body: bytes) -> None:
        self._view = memoryview(body)

    def bytes(self, size: int) -> bytes:
        if len(self._view) < size:
            raise WireError("is cut short")
        taken, self._view = self._view[:size].tobytes(), self._view[size:]
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.bytes(size), "big")

    def text(self) -> str:
        return self.bytes(self.number(1)).decode()

    def planes(self, rows: int, width: int) -> list[int]:
        """Rows big-endian integers whose first bytes come together, then their second bytes, and so on."""
        numbers = [0] * rows
        for _ in range(width):
            numbers = [number << 8 | low for number, low in zip(numbers, self.bytes(rows), strict=True)]
        return numbers

    def finished(self) -> bool:
        return not self._view


def _read_body(body: _Body) -> StoredBatch:
    gateway = body.text()
    epoch, first_sequence, _sealed_ms, base_ms = (body.number(8) for _ in range(4))
    links = [_skip_definition(body) for _ in range(body.number(1))]
    series = [(body.number(1), links[body.number(1)]) for _ in range(body.number(1))]
    rows = body.number(2)
    which = [series[index] for index in body.bytes(rows)]
    times = list(_times(body.planes(rows, 4)))
    flags, outcomes = body.bytes(rows), body.bytes(rows)
    columns = {code: _columns(body, code, which) for code in sorted({code for code, _ in which})}
    if not body.finished():
        raise WireError("has bytes after its last column")
    readings = tuple(
        StoredReading(link, KINDS[code][0], base_ms + time, (flag, outcome, *next(columns[code])))
        for (code, link), time, flag, outcome in zip(which, times, flags, outcomes, strict=True)
    )
    return StoredBatch(gateway, epoch, first_sequence, readings)


def _skip_definition(body: _Body) -> str:
    """The id of a link; its definition, when it has one, says nothing about readings."""
    defined = body.number(1)
    link = body.text()
    if defined:
        for _ in range(6):
            body.text()
        body.number(1)
    return link


def _times(steps: Sequence[int]) -> Iterator[int]:
    """Milliseconds after the base time; a step backwards is stored modulo 2^32."""
    time = 0
    for step in steps:
        time = (time + step) & 0xFFFF_FFFF
        yield time


def _columns(body: _Body, code: int, which: Sequence[tuple[int, str]]) -> Iterator[tuple[int | None, ...]]:
    """The rows of one kind, null as None; a column that an older sender did not have is null."""
    if body.number(1) != code:
        raise WireError(f"has no columns of kind {code} where they belong")
    given, fields = body.number(1), KINDS[code][1]
    if given > len(fields):
        raise WireError(f"has {given} columns of kind {code}, more than are known")
    rows = sum(1 for each, _ in which if each == code)
    columns: list[list[int | None]] = []
    for field in fields[:given]:
        bases = columns[field.over] if field.over is not None else [None] * rows
        modulus = 256**field.width - 1
        columns.append(
            [
                (stored - 1 + (base or 0)) % modulus if stored else None
                for stored, base in zip(body.planes(rows, field.width), bases, strict=True)
            ]
        )
    columns += [[None] * rows for _ in fields[given:]]
    return zip(*columns, strict=True)
