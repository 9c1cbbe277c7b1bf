"""A batch packed for the wire."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from itertools import repeat

from edge_agent.contract.column import Column, Kind
from edge_agent.contract.kinds import KINDS
from edge_agent.contract.limits import check, link_texts, packed_text, require
from edge_agent.contract.model import MAX_BODY, VERSION, Batch, Link, Values

HEAD = struct.Struct("!QQQQ")
ENVELOPE = struct.Struct("!BI")


def encode(batch: Batch) -> bytes:
    """The batch packed and deflated; raises ContractError when it breaks a limit."""
    check(batch)
    body = _pack(batch)
    require(len(body) <= MAX_BODY, f"the body is {len(body)} B, more than {MAX_BODY}")
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    return ENVELOPE.pack(VERSION, zlib.crc32(body)) + deflate.compress(body) + deflate.flush()


def _pack(batch: Batch) -> bytes:
    definitions = {link.id: link for link in batch.links}
    names = list(dict.fromkeys([*definitions, *(reading.link for reading in batch.readings)]))
    series = list(dict.fromkeys((reading.kind, reading.link) for reading in batch.readings))
    require(len(names) <= 255 and len(series) <= 255, "more than 255 links or series in a batch")
    link_index = {name: index for index, name in enumerate(names)}
    series_index = {key: index for index, key in enumerate(series)}
    base = batch.first_ms
    parts = [
        packed_text(batch.gateway),
        HEAD.pack(batch.epoch, batch.first_sequence, batch.sealed_ms, base),
        bytes([len(names)]),
        *(_pack_link(name, definitions.get(name)) for name in names),
        bytes([len(series)]),
        *(bytes([KINDS[kind].code, link_index[link]]) for kind, link in series),
        len(batch.readings).to_bytes(2, "big"),
        bytes(series_index[reading.kind, reading.link] for reading in batch.readings),
        _planes(_steps([reading.at_ms - base for reading in batch.readings]), 4),
        bytes(reading.flags for reading in batch.readings),
        bytes(reading.outcome for reading in batch.readings),
    ]
    for kind in sorted({KINDS[name] for name, _ in series}, key=lambda kind: kind.code):
        rows = [reading.values for reading in batch.readings if reading.kind == kind.name]
        parts.append(bytes([kind.code, len(kind.columns)]))
        parts += pack_columns(kind, rows)
    return b"".join(parts)


def pack_columns(kind: Kind, rows: Sequence[Values]) -> Iterator[bytes]:
    """The columns of readings of one kind, each as byte planes."""
    columns = dict(zip((column.name for column in kind.columns), zip(*rows, strict=True), strict=True))
    for column in kind.columns:
        yield _planes(_stored(columns[column.name], columns.get(column.over), column), column.width)


def _stored(values: Values, over: Values | None, column: Column) -> list[int]:
    modulus = column.maximum + 1
    return [
        0 if value is None else (value - (base or 0)) % modulus + 1
        for value, base in zip(values, over or repeat(0, len(values)), strict=True)
    ]


def _steps(times: Sequence[int]) -> list[int]:
    return [(time - before) % (1 << 32) for time, before in zip(times, [0, *times], strict=False)]


def _pack_link(name: str, link: Link | None) -> bytes:
    if link is None:
        return b"\0" + packed_text(name)
    return b"\1" + b"".join(map(packed_text, link_texts(link))) + bytes([link.metered])


CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}


def _planes(values: Sequence[int], width: int) -> bytes:
    raw = struct.pack(f"!{len(values)}{CODES[width]}", *values)
    return b"".join(raw[plane::width] for plane in range(width))
