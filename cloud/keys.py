"""Every partition key, sort key and attribute name of the four tables, built and parsed here alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

Item = dict[str, Any]
"""A DynamoDB item as low-level attribute values, ``{"p": {"S": "…"}}``."""

PARTITION = "p"
SORT = "s"
BYTES = "b"
"""Payload of a chunk as sealed."""
EXPIRES = "e"
"""Time to live, seconds since 1970: the attribute that the tables' TTL setting names."""
SOURCE = "src"
DIRECT = "direct"

LATEST_KEY = "gateway"
VERSION = "ver"

GATEWAY = "GATEWAY"
"""Sort key of a gateway's enrolment in the registry."""
LINKS = "LINKS"
"""Sort key of the link definitions last received from a gateway in the registry."""

DAY_MS = 86_400_000
MIN_MS = 1_577_836_800_000
"""2020-01-01T00:00Z: no gateway measured anything before."""
MAX_MS = 9_999_999_999_999
"""The last time that keeps 13 digits, on which the order of the sort keys rests (November 2286)."""


@dataclass(frozen=True, slots=True)
class ChunkId:
    """What identifies a chunk within its gateway."""

    first_ms: int
    epoch: int
    first_sequence: int


def chunk_partition(gateway: str, first_ms: int) -> str:
    """Partition of a chunk: its gateway and the UTC day of its first reading."""
    return f"{gateway}#{day(first_ms)}"


def chunk_sort(first_ms: int, epoch: int, first_sequence: int) -> str:
    """Sort key of a chunk; its order is the order of first readings."""
    return f"{first_ms:013d}#{epoch:016x}#{first_sequence:010d}"


def parse_chunk_sort(sort: str) -> ChunkId:
    """The identity in a chunk's sort key; raises ValueError for anything else."""
    first_ms, epoch, first_sequence = sort.split("#")
    return ChunkId(int(first_ms), int(epoch, 16), int(first_sequence))


def chunk_ranges(gateway: str, since_ms: int, until_ms: int, span_ms: int) -> Iterator[tuple[str, str, str]]:
    """(partition, lowest sort, highest sort) of each day whose chunks may touch [since, until].

    A chunk covers up to ``span_ms`` from its first reading, so the search starts that much earlier, but not
    before MIN_MS: nothing older is ever stored, and each day is a query.
    """
    start = max(since_ms - span_ms, MIN_MS)
    end = min(until_ms, MAX_MS)
    first_day = datetime.fromtimestamp(start // DAY_MS * DAY_MS / 1000, UTC)
    for offset in range((end // DAY_MS) - (start // DAY_MS) + 1):
        partition = f"{gateway}#{first_day + timedelta(days=offset):%Y%m%d}"
        yield partition, f"{start:013d}#", f"{end:013d}#g"


def version(last_ms: int, epoch: int, first_sequence: int) -> str:
    """Version of a gateway's latest state: grows with time, then with the order of sealing."""
    return chunk_sort(last_ms, epoch, first_sequence)


def parse_version(value: str) -> ChunkId:
    """The parts of a version, its last time as ``first_ms``; raises ValueError for anything else."""
    return parse_chunk_sort(value)


def series(kind: str, link: str) -> str:
    """Attribute of the latest item that holds one series."""
    return f"s#{kind}#{link}"


def parse_series(attribute: str) -> tuple[str, str] | None:
    """(kind, link) of a series attribute, None for another attribute."""
    prefix, _, rest = attribute.partition("#")
    kind, separator, link = rest.partition("#")
    return (kind, link) if prefix == "s" and separator else None


def link(name: str) -> str:
    """Attribute of the latest item that says what a link is."""
    return f"l#{name}"


def parse_link(attribute: str) -> str | None:
    """Link id of a link attribute, None for another attribute."""
    return attribute[2:] if attribute.startswith("l#") else None


def quarantine_partition(at_ms: int) -> str:
    """Partition of a quarantined record: the UTC day it was received."""
    return f"Q#{day(at_ms)}"


def quarantine_sort(at_ms: int, shard: str, sequence: str) -> str:
    """Sort key of a quarantined record: when it was received, then its place in the stream."""
    return f"{at_ms:013d}#{shard}#{sequence}"


def text(value: str, length: int) -> str:
    """A text that DynamoDB takes: bounded, and without the lone surrogates that JSON can smuggle in."""
    return value[:length].encode(errors="replace").decode()


def day(at_ms: int) -> str:
    """UTC day, yyyymmdd, of a time in ms since 1970."""
    return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y%m%d}"
