"""A packed batch read again; nothing that it claims is believed before it is checked."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from itertools import accumulate, repeat
from typing import Any, TypeVar

from edge_agent.contract.column import Column, Kind
from edge_agent.contract.kinds import BY_CODE
from edge_agent.contract.limits import check_frame, require
from edge_agent.contract.model import (
    MAX_BODY,
    VERSION,
    Batch,
    ContractError,
    Flag,
    Link,
    Outcome,
    Reading,
    Values,
)
from edge_agent.contract.pack import CODES, ENVELOPE, HEAD

T = TypeVar("T")
_FLAGS = tuple(map(Flag, range(1 << len(Flag))))
_OUTCOMES = tuple(Outcome)


def decode_packed(data: bytes) -> Batch:
    """The batch in its packed form; raises ContractError, or what Python raises for damaged bytes."""
    batch = _unpack(_inflate(data))
    check_frame(batch)
    return batch


class _Reader:
    """Takes fields off the front of a body; running out of bytes is a ContractError."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def take(self, size: int) -> bytes:
        self._at += size
        require(self._at <= len(self._body), "the body is cut short")
        return self._body[self._at - size : self._at]

    def byte(self) -> int:
        return self.take(1)[0]

    def text(self) -> str:
        return self.take(self.byte()).decode()

    def column(self, count: int, width: int) -> tuple[int, ...]:
        planes = self.take(count * width)
        raw = bytearray(len(planes))
        for plane in range(width):
            raw[plane::width] = planes[plane * count : (plane + 1) * count]
        return struct.unpack(f"!{count}{CODES[width]}", raw)

    def end(self) -> None:
        require(self._at == len(self._body), f"{len(self._body) - self._at} B too many in the body")


def _inflate(data: bytes) -> bytes:
    require(len(data) >= ENVELOPE.size, f"{len(data)} B are too few for a batch")
    version, checksum = ENVELOPE.unpack_from(data)
    require(version == VERSION, f"version {version} is not known")
    inflate = zlib.decompressobj(-15)
    body = inflate.decompress(data[ENVELOPE.size :], MAX_BODY + 1)
    require(len(body) <= MAX_BODY, f"the body inflates to more than {MAX_BODY} B")
    require(inflate.eof and not inflate.unused_data, "the deflate stream does not end with the payload")
    require(zlib.crc32(body) == checksum, "the checksum does not match")
    return body


def _unpack(body: bytes) -> Batch:
    reader = _Reader(body)
    gateway = reader.text()
    epoch, first_sequence, sealed_ms, base = HEAD.unpack(reader.take(HEAD.size))
    names, links = _unpack_links(reader)
    series = [(_kind_of(reader.byte()), _item(names, reader.byte(), "link")) for _ in range(reader.byte())]
    count = int.from_bytes(reader.take(2), "big")
    which = [_item(series, index, "series") for index in reader.take(count)]
    steps = reader.column(count, 4)
    flags = [_item(_FLAGS, flag, "flags value") for flag in reader.take(count)]
    outcomes = [_item(_OUTCOMES, outcome, "outcome") for outcome in reader.take(count)]
    times = (time % (1 << 32) for time in accumulate(steps))
    values = _unpack_values(reader, [kind for kind, _ in which])
    reader.end()
    readings = tuple(
        Reading(link, kind.name, base + time, next(values[kind.code]), flag, outcome)
        for (kind, link), time, flag, outcome in zip(which, times, flags, outcomes, strict=True)
    )
    return Batch(gateway, epoch, first_sequence, sealed_ms, readings, links)


def _unpack_links(reader: _Reader) -> tuple[list[str], tuple[Link, ...]]:
    names: list[str] = []
    links: list[Link] = []
    for _ in range(reader.byte()):
        defined = reader.byte()
        names.append(reader.text())
        if defined:
            peer, interface, next_hop, vlan, target, medium = (reader.text() for _ in range(6))
            metered = bool(reader.byte())
            links.append(Link(names[-1], peer, interface, next_hop, vlan, target, medium, metered))
    return names, tuple(links)


def _unpack_values(reader: _Reader, kinds: Sequence[Kind]) -> dict[int, Any]:
    values: dict[int, Any] = {}
    for code in sorted({kind.code for kind in kinds}):
        kind = _kind_of(reader.byte())
        require(kind.code == code, f"columns of {kind.name} are out of place")
        rows, given = sum(each.code == code for each in kinds), reader.byte()
        require(given <= len(kind.columns), f"{given} columns for {kind.name}")
        columns: dict[str, Values] = {column.name: (None,) * rows for column in kind.columns}
        for column in kind.columns[:given]:
            columns[column.name] = _values(
                reader.column(rows, column.width), columns.get(column.over), column
            )
        values[code] = zip(*columns.values(), strict=True)
    return values


def _values(stored: Sequence[int], over: Values | None, column: Column) -> Values:
    modulus = column.maximum + 1
    return [
        (value - 1 + (base or 0)) % modulus if value else None
        for value, base in zip(stored, over or repeat(0, len(stored)), strict=True)
    ]


def _kind_of(code: int) -> Kind:
    kind = BY_CODE.get(code)
    if kind is None:
        raise ContractError(f"unknown kind code {code}")
    return kind


def _item(items: Sequence[T], index: int, what: str) -> T:
    if index >= len(items):
        raise ContractError(f"{what} {index} of {len(items)}")
    return items[index]
