"""The graph of all directed links, packed: parts for pages of gateways, and a head that says which (pure).

The rollup pass rebuilds it from the latest items in its sweep. Two buildings take turns in two slots, so a
reader of the newest complete one is not disturbed by the next. A part is a format byte and the raw
DEFLATE (RFC 1951) of varints, column after column, behind the table of its texts.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from cloud import keys, ranking
from cloud.buckets import FINE_MS
from cloud.keys import Item
from cloud.latest import Latest
from cloud.varint import varint, varints

_FORMAT = 1
MAX_PART = 300_000
"""Bytes of a part: an item has 400 KB at most (DynamoDB, service quotas)."""
MAX_BODY = 67_108_864
_COLUMNS = 9


class SnapshotError(ValueError):
    """The bytes are no part of a graph that this version can read."""


@dataclass(frozen=True, slots=True)
class Edge:
    """A directed link as the kind of reading that speaks for it saw it last."""

    gateway: str
    """Where it begins."""
    link: str
    peer: str
    """Where it leads; "" when its gateway did not say."""
    medium: str
    kind: str
    at_ms: int
    sent: int
    """Round trips of the batch that brought the reading; 0 when it did not measure any."""
    lost: int
    p50_us: int | None


@dataclass(frozen=True, slots=True)
class Head:
    """Which building of a segment of the gateways is complete."""

    segment: int
    segments: int
    at_ms: int
    """End of the sweep's periods: the same for all parts of a building."""
    parts: tuple[int, ...]
    """How many parts each page has."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The adjacency of the whole network, oldest building of its segments first."""

    at_ms: int
    edges: tuple[Edge, ...]


def edges(states: Iterable[Latest], now_ms: int) -> list[Edge]:
    """The links of gateways, by gateway and link."""
    found = [
        Edge(
            row.gateway,
            row.link,
            row.peer,
            row.medium,
            row.speaker.reading.kind,
            row.speaker.reading.at_ms,
            row.speaker.sent,
            row.speaker.lost,
            row.p50_us,
        )
        for row in ranking.rows(states, now_ms)
    ]
    return sorted(found, key=lambda edge: (edge.gateway, edge.link))


def pack(given: Sequence[Edge], segment: int, at_ms: int, page: int, limit: int = MAX_PART) -> list[Item]:
    """The items of a page of gateways: one, or more when it would be too large."""
    return [
        {
            keys.PARTITION: {"S": keys.snapshot_partition(segment)},
            keys.SORT: {"S": keys.snapshot_sort(_slot(at_ms), page, part)},
            "at": {"N": str(at_ms)},
            keys.ROLLUP: {"B": data},
        }
        for part, data in enumerate(_split(given, limit))
    ]


def _split(given: Sequence[Edge], limit: int) -> list[bytes]:
    data = pack_edges(given)
    if len(data) <= limit or len(given) < 2:
        return [data]
    half = len(given) // 2
    return _split(given[:half], limit) + _split(given[half:], limit)


def pack_head(head: Head) -> Item:
    """The item of a head; written when all parts are."""
    return {
        keys.PARTITION: {"S": keys.snapshot_partition(head.segment)},
        keys.SORT: {"S": keys.SNAPSHOT_HEAD},
        "at": {"N": str(head.at_ms)},
        "segments": {"N": str(head.segments)},
        "parts": {"L": [{"N": str(count)} for count in head.parts]},
    }


def parse_head(item: Item, segment: int) -> Head:
    """The head in an item."""
    parts = tuple(int(count["N"]) for count in item["parts"]["L"])
    return Head(segment, int(item["segments"]["N"]), int(item["at"]["N"]), parts)


def sorts(head: Head) -> list[str]:
    """The sort keys of a building's parts."""
    return [
        keys.snapshot_sort(_slot(head.at_ms), page, part)
        for page, count in enumerate(head.parts)
        for part in range(count)
    ]


def parse(item: Item, head: Head) -> list[Edge]:
    """The links in a part of that building; raises SnapshotError when it is of another one."""
    if int(item["at"]["N"]) != head.at_ms:
        raise SnapshotError("a newer graph is being written")
    return unpack_edges(bytes(item[keys.ROLLUP]["B"]))


def _slot(at_ms: int) -> int:
    return at_ms // FINE_MS % 2


def pack_edges(given: Sequence[Edge]) -> bytes:
    """Links as bytes."""
    texts = sorted({text for edge in given for text in _texts(edge)})
    places = {text: place for place, text in enumerate(texts)}
    table = "\0".join(texts).encode()
    base = min((edge.at_ms for edge in given), default=0)
    found = [len(table), len(given), base]
    for column in zip(*(map(places.__getitem__, _texts(edge)) for edge in given), strict=True):
        found += column
    found += [edge.at_ms - base for edge in given]
    found += [edge.sent for edge in given]
    found += [edge.lost for edge in given]
    found += [0 if edge.p50_us is None else edge.p50_us + 1 for edge in given]
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return bytes([_FORMAT]) + deflate.compress(b"".join(map(varint, found)) + table) + deflate.flush()


def unpack_edges(data: bytes) -> list[Edge]:
    """The links in bytes; raises SnapshotError for anything else."""
    try:
        return _unpack(data)
    except (ValueError, IndexError, zlib.error) as exc:
        raise SnapshotError(f"not a graph of this version: {exc!r}") from exc


def _unpack(data: bytes) -> list[Edge]:
    if data[:1] != bytes([_FORMAT]):
        raise ValueError(f"format {data[:1].hex()} is not known")
    inflate = zlib.decompressobj(-15)
    body = inflate.decompress(data[1:], MAX_BODY)
    if not inflate.eof:
        raise ValueError("it is cut short or too long")
    source = varints(body)
    length, count, base = islice(source, 3)
    texts = body[len(body) - length :].decode().split("\0")
    columns = [list(islice(source, count)) for _ in range(_COLUMNS)]
    return [
        Edge(
            texts[gateway],
            texts[link],
            texts[peer],
            texts[medium],
            texts[kind],
            base + at,
            sent,
            lost,
            p50 - 1 if p50 else None,
        )
        for gateway, link, peer, medium, kind, at, sent, lost, p50 in zip(*columns, strict=True)
    ]


def _texts(edge: Edge) -> tuple[str, ...]:
    # The table is joined with NUL, which no id has; a peer's or medium's text could.
    return tuple(
        text.replace("\0", "?") for text in (edge.gateway, edge.link, edge.peer, edge.medium, edge.kind)
    )
