"""The rollup of a gateway and a period, and its item: all links and kinds packed into one (pure).

An item's bytes are a format byte and the raw DEFLATE (RFC 1951) of varints (LEB128): the number of
summaries, then column after column. A kind is its code on the wire, a link its text, shared by the kinds
on it. Kinds that this version does not know are left out when read.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from cloud import keys, sketch
from cloud.buckets import FINE, FINER, STEPS, Step
from cloud.keys import Item
from cloud.rollup_summary import QUANTITIES, Measure, Summary, merge, summarise
from cloud.varint import varint, varints
from edge_agent.contract import KINDS, Batch, Reading

_FORMAT = 1
MAX_BODY = 16_777_216
"""Bytes that a rollup may inflate to; an item has 400 KB at most (DynamoDB, service quotas)."""
_KIND_OF = {kind.code: kind.name for kind in KINDS.values()}
_COUNTS = ("readings", "measured", "known", "down", "sent", "answered")


class RollupError(ValueError):
    """The bytes are no rollup that this version can read."""


@dataclass(frozen=True, slots=True)
class Rollup:
    """What a gateway's readings of one period come to."""

    gateway: str
    step: Step
    start_ms: int
    chunks: int
    """Chunks with a reading in the period; of a longer period the sum over its 5 minutes."""
    series: tuple[Summary, ...]
    """By link, then kind."""

    @property
    def end_ms(self) -> int:
        """The first moment after the period."""
        return self.start_ms + self.step.length_ms


def of_batches(gateway: str, batches: Iterable[Batch], since_ms: int, until_ms: int) -> list[Rollup]:
    """The 5-minute rollups of distinct batches, for readings in [since, until), oldest first.

    Each reading counts in the period of its own time, whatever batch it came in.
    """
    readings: dict[int, list[Reading]] = {}
    chunks: dict[int, int] = {}
    for batch in batches:
        touched = set()
        for reading in batch.readings:
            if since_ms <= reading.at_ms < until_ms:
                start = FINE.start(reading.at_ms)
                touched.add(start)
                readings.setdefault(start, []).append(reading)
        for start in touched:
            chunks[start] = chunks.get(start, 0) + 1
    return [
        Rollup(gateway, FINE, start, chunks[start], summarise(found))
        for start, found in sorted(readings.items())
    ]


def combine(rollups: Iterable[Rollup], step: Step) -> list[Rollup]:
    """The rollups of a longer step from those of the next finer one (one gateway's), oldest first."""
    groups: dict[int, list[Rollup]] = {}
    for each in rollups:
        if each.step != FINER[step]:
            raise ValueError(f"{step.name} is not made of {each.step.name}")
        groups.setdefault(step.start(each.start_ms), []).append(each)
    return [
        Rollup(
            parts[0].gateway,
            step,
            start,
            sum(part.chunks for part in parts),
            merge(summary for part in parts for summary in part.series),
        )
        for start, parts in sorted(groups.items())
    ]


def pack(rollup: Rollup, keep_days: int) -> Item:
    """The item of a rollup; it expires so many days after its period."""
    return {
        keys.PARTITION: {"S": keys.rollup_partition(rollup.gateway, rollup.step.name, rollup.start_ms)},
        keys.SORT: {"S": keys.rollup_sort(rollup.start_ms)},
        keys.CHUNKS: {"N": str(rollup.chunks)},
        keys.EXPIRES: {"N": str((rollup.end_ms + keep_days * keys.DAY_MS) // 1000)},
        keys.ROLLUP: {"B": pack_series(rollup.series)},
    }


def parse(item: Item) -> Rollup:
    """The rollup in an item; raises RollupError for what this version cannot read."""
    try:
        gateway, step, start_ms = keys.parse_rollup(item[keys.PARTITION]["S"], item[keys.SORT]["S"])
        series = unpack_series(bytes(item[keys.ROLLUP]["B"]))
        return Rollup(gateway, STEPS[step], start_ms, int(item[keys.CHUNKS]["N"]), series)
    except (ValueError, KeyError, zlib.error) as exc:
        raise RollupError(f"not a rollup of this version: {exc!r}") from exc


def pack_series(series: Sequence[Summary]) -> bytes:
    """Summaries as bytes."""
    links = sorted({each.link for each in series})
    names = "\n".join(links).encode()
    places = {link: place for place, link in enumerate(links)}
    found = [len(names), len(series)]
    found += [places[each.link] for each in series]
    found += [KINDS[each.kind].code for each in series]
    for name in _COUNTS:
        found += [getattr(each, name) for each in series]
    found += [len(each.measures) for each in series]
    measures = [measure for each in series for measure in each.measures]
    found += [measure.rounds if measure else 0 for measure in measures]
    told = [measure for measure in measures if measure]
    for measure in told:
        # What the total has over the least is small; nothing keeps a gateway from lying, hence the signs.
        excess = measure.total - measure.samples * measure.low
        found += (measure.samples, measure.low, _zigzag(measure.high - measure.low), _zigzag(excess))
    for measure in told:
        found += sketch.numbers(measure.sketch)
    body = b"".join(map(varint, found)) + names
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return bytes([_FORMAT]) + deflate.compress(body) + deflate.flush()


def unpack_series(data: bytes) -> tuple[Summary, ...]:
    """The summaries in bytes; raises ValueError or zlib.error for anything else."""
    if data[:1] != bytes([_FORMAT]):
        raise ValueError(f"format {data[:1].hex()} is not known")
    inflate = zlib.decompressobj(-15)
    body = inflate.decompress(data[1:], MAX_BODY)
    if not inflate.eof or inflate.unused_data:
        raise ValueError("it is cut short or too long")
    source = varints(body)
    length = _take(source, 1)[0]
    links = body[len(body) - length :].decode().split("\n")
    count = _take(source, 1)[0]
    places, codes = _take(source, count), _take(source, count)
    counts = [_take(source, count) for _ in _COUNTS]
    widths = _take(source, count)
    measures = iter(_measures(source, sum(widths)))
    found = []
    for at, place in enumerate(places):
        own = tuple(islice(measures, widths[at]))
        if kind := _KIND_OF.get(codes[at]):
            known = own[: len(QUANTITIES.get(kind, ()))]
            readings, measured, up_or_down, down, sent, answered = (column[at] for column in counts)
            summary = Summary(links[place], kind, readings, measured, up_or_down, down, sent, answered, known)
            found.append(summary)
    return tuple(found)


def _measures(source: Iterator[int], count: int) -> list[Measure | None]:
    rounds = _take(source, count)
    heads = [_take(source, 4) if each else None for each in rounds]
    found: list[Measure | None] = []
    for told, head in zip(rounds, heads, strict=True):
        if head is None:
            found.append(None)
            continue
        samples, low, spread, excess = head
        total = _signed(excess) + samples * low
        found.append(Measure(told, samples, total, low, low + _signed(spread), sketch.read(source)))
    return found


def _zigzag(value: int) -> int:
    return 2 * value if value >= 0 else -2 * value - 1


def _signed(value: int) -> int:
    return -(value + 1 >> 1) if value & 1 else value >> 1


def _take(source: Iterator[int], count: int) -> list[int]:
    found = [*islice(source, count)]
    if len(found) < count:
        raise ValueError("it is cut short")
    return found
