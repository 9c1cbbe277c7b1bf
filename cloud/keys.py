"""Every partition key, sort key and attribute name of the four tables, built and parsed here alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zlib import crc32

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


@lru_cache(maxsize=256)
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
    return _day(at_ms // DAY_MS)


@lru_cache(maxsize=64)
def _day(number: int) -> str:
    return f"{datetime.fromtimestamp(number * DAY_MS // 1000, UTC):%Y%m%d}"


# --- rollups: their items, dirty marks, the cursor of the pass and the graph snapshot, all in Readings ---
# A chunk's partition is "gateway#yyyymmdd"; none of these can be one, whatever a gateway is called.

ROLLUP = "r"
"""Packed content of a rollup or of a part of the graph snapshot."""
CHUNKS = "n"
"""How many chunks a rollup was made from: its version, for chunks only ever come."""
TOKEN = "t"
"""What tells one putting of a dirty mark from the next."""
HOUR_MS = 3_600_000
MARK_SHARDS = 16
"""Partitions of the dirty marks: each takes 1,000 writes a second (DynamoDB, partition key design)."""
CURSOR_PARTITION = "P#rollup"
SNAPSHOT_HEAD = "HEAD"
_PERIODS_IN_PARTITION = {"5m": "%Y%m%d", "1h": "%Y%m", "1d": "%Y"}
"""By step, what part of the calendar shares a partition: 288, 744 and 366 periods at most."""


def is_chunk(partition: str) -> bool:
    """Whether this is a partition of chunks: a gateway and a day, nothing else."""
    _, _, day_name = partition.partition("#")
    return len(day_name) == 8 and day_name.isascii() and day_name.isdigit()


def rollup_partition(gateway: str, step: str, start_ms: int) -> str:
    """Partition of a rollup: its gateway, step and a part of the calendar."""
    start = datetime.fromtimestamp(start_ms // 1000, UTC)
    return f"R#{gateway}#{step}#{start:{_PERIODS_IN_PARTITION[step]}}"


def rollup_sort(start_ms: int) -> str:
    """Sort key of a rollup: when its period starts."""
    return f"{start_ms:013d}"


def parse_rollup(partition: str, sort: str) -> tuple[str, str, int]:
    """(gateway, step, start in ms) of a rollup's key; raises ValueError for anything else."""
    kind, gateway, step, _ = partition.split("#")
    if kind != "R" or step not in _PERIODS_IN_PARTITION:
        raise ValueError(f"{partition!r} is no partition of rollups")
    return gateway, step, int(sort)


def rollup_ranges(gateway: str, step: str, since_ms: int, until_ms: int) -> Iterator[tuple[str, str, str]]:
    """(partition, lowest sort, highest sort) of the rollups of periods that start in [since, until)."""
    low, high = max(since_ms, MIN_MS), min(until_ms, MAX_MS) - 1
    partitions = (rollup_partition(gateway, step, at) for at in (*range(low, high, DAY_MS), high))
    if low <= high:
        for partition in dict.fromkeys(partitions):
            yield partition, rollup_sort(low), rollup_sort(high)


def mark_shard(gateway: str) -> int:
    """Which of MARK_SHARDS a gateway's dirty marks are in: CRC-32, the same in every process."""
    return crc32(gateway.encode()) % MARK_SHARDS


def mark_partition(shard: int) -> str:
    """Partition of the dirty marks of a shard."""
    return f"D#{shard:02d}"


def mark_sort(gateway: str, hour_ms: int) -> str:
    """Sort key of the mark that says: chunks of this gateway and hour came after its rollups were made."""
    return f"{gateway}#{hour_ms:013d}"


def mark_range(gateway: str) -> tuple[str, str]:
    """Lowest and highest sort key of a gateway's marks."""
    return f"{gateway}#", f"{gateway}#g"


def parse_mark(sort: str) -> tuple[str, int]:
    """(gateway, hour in ms) of a mark's sort key; raises ValueError for anything else."""
    gateway, hour_ms = sort.split("#")
    return gateway, int(hour_ms)


def cursor_sort(segment: int, segments: int) -> str:
    """Sort key of the cursor of one of so many passes that share the gateways."""
    return f"{segment:03d}/{segments:03d}"


def snapshot_partition(segment: int) -> str:
    """Partition of the graph snapshot of one segment of the gateways."""
    return f"G#graph#{segment:03d}"


def snapshot_sort(at_ms: int, page: int, part: int) -> str:
    """Sort key of a part of the graph: the pass that built it, its page of gateways, its place there."""
    return f"{at_ms:013d}#{page:05d}#{part:03d}"


# --- gaps and quarantine: the numbers held of each gateway, and records set aside, spread over a day ---

QUARANTINE_SHARDS = 16
"""Partitions of a day's quarantine: each takes 1,000 writes a second (DynamoDB, partition key design)."""
GAPS_SORT = "GAPS"
"""Sort key of the one item that holds what is known of a gateway's sequence numbers."""


def gaps_partition(gateway: str) -> str:
    """Partition of a gateway's gaps in Readings; never one of chunks, whatever a gateway is called."""
    return f"H#gaps#{gateway}"


def parse_gaps_partition(partition: str) -> str:
    """Gateway of a partition of gaps; raises ValueError for anything else."""
    kind, topic, gateway = partition.split("#")
    if (kind, topic) != ("H", "gaps"):
        raise ValueError(f"{partition!r} is no partition of gaps")
    return gateway


def quarantine_number(sort: str) -> int:
    """CRC-32 of a quarantined record's sort key: what its partition and its short id are made of."""
    return crc32(sort.encode())


def quarantine_place(at_ms: int, shard: str, sequence: str) -> tuple[str, str]:
    """(partition, sort) of a quarantined record: its UTC day in one of QUARANTINE_SHARDS, then its place."""
    sort = quarantine_sort(at_ms, shard, sequence)
    return quarantine_shard(at_ms, quarantine_number(sort) % QUARANTINE_SHARDS), sort


def quarantine_shard(at_ms: int, number: int) -> str:
    """One of the partitions of a UTC day's quarantined records."""
    return f"{quarantine_partition(at_ms)}#{number:02d}"


def quarantine_partitions(at_ms: int) -> list[str]:
    """All partitions of a UTC day's quarantined records; the first is of before they were spread."""
    return [
        quarantine_partition(at_ms),
        *(quarantine_shard(at_ms, number) for number in range(QUARANTINE_SHARDS)),
    ]


def parse_quarantine_sort(sort: str) -> tuple[int, str, str]:
    """(received in ms, shard, sequence) of a quarantined record; raises ValueError for anything else."""
    at_ms, shard, sequence = sort.split("#", 2)
    return int(at_ms), shard, sequence


def replayed_partition(at_ms: int) -> str:
    """Partition of the marks that say which quarantined records of a UTC day were put back.

    Apart from the records: a retry of the stream that writes a record again leaves its mark alone.
    """
    return f"{quarantine_partition(at_ms)}#replayed"


def day_start(name: str) -> int:
    """Start in ms of a UTC day, yyyymmdd; raises ValueError for anything else."""
    if len(name) != 8:
        raise ValueError(f"{name!r} is no day")
    return int(datetime.strptime(name, "%Y%m%d").replace(tzinfo=UTC).timestamp()) * 1000


# --- enrichment: what people say of gateways, and changes of link states that wait to be announced ---

METADATA = "META"
"""Sort key of what an import said of a gateway and its links in the registry."""
SAID = "said"
"""What it said, as JSON."""
CHANGES = "ev"
"""Attribute of the latest item: changes of link states that no event has told of yet."""


def change_id(gateway: str, epoch: int, sequence: int) -> str:
    """Identity of a change of a link's state: the reading that made it, wherever and how often it is read."""
    return f"{gateway}.{epoch:016x}.{sequence}"
