"""How large what a fleet sends and stores is: the sample packed as gateways and cloud do (pure)."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from statistics import fmean

from cloud import enrich, keys, latest, plan_sample, rollup_item, snapshot
from cloud.buckets import FINE, HOUR
from cloud.decode import Arrival, Envelope
from cloud.enrich import Progress
from cloud.keys import Item
from cloud.plan_sample import GATEWAY, START_MS
from cloud.poison import Position
from cloud.registry import Definition, Entry
from cloud.registry_metadata import LinkMetadata, Metadata
from cloud.rollup_item import Rollup
from edge_agent.contract import Batch, Link, describe_reading, encode
from edge_agent.contract.sealed import sealed

WRITE_UNIT = 1024
READ_UNIT = 4096
SAMPLE_LINKS = 20
"""Rollups are measured with so many links at most, and scaled."""
SAMPLE_ROUNDS = 60
"""And with so many rounds of a link in 5 minutes: more hardly add buckets to a sketch."""
DAY_OVER_HOUR = 2
"""Size of a day's rollup beside an hour's: more buckets, larger counts (measured: 1.6)."""
_KEEP_DAYS = 35


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes, and write units where items are written, of what one gateway sends and has stored."""

    readings: float
    """In a message."""
    message: float
    """Payload and topic, bytes: what AWS IoT Core meters."""
    record: float
    """In the stream: the payload in the rule's envelope."""
    chunk: float
    chunk_writes: float
    """Write units of a chunk, the mean over the sample."""
    latest: float
    rollup_5m: float
    rollup_1h: float
    rollup_1d: float
    graph: float
    """A gateway's share of the graph snapshot."""
    naive_record: float
    """A reading as JSON, as the naive design sends it."""
    naive_item: float


def units(size: float, unit: int = WRITE_UNIT) -> int:
    """Units of a request of so many bytes, rounded up as AWS does."""
    return max(math.ceil(size / unit), 1)


@cache
def measure(links: int, interval_s: float, batch_s: float) -> Sizes:
    """The sizes for gateways of so many links, a reading of each every interval, a batch every so often."""
    in_message, batches = plan_sample.batches(links, interval_s, batch_s)
    payloads = [encode(batch) for batch in batches]
    chunks = [item_size(_chunk(batch, data)) for batch, data in zip(batches, payloads, strict=True)]
    fine, hour = _rollups(links, interval_s)
    naive = {"gateway": GATEWAY, **describe_reading(batches[0].readings[0])}
    return Sizes(
        readings=in_message,
        message=fmean(map(len, payloads)) + len(plan_sample.TOPIC),
        record=fmean(len(_envelope(data)) for data in payloads),
        chunk=fmean(chunks),
        chunk_writes=fmean(map(units, chunks)),
        latest=item_size(_latest(batches, links)),
        rollup_5m=fine,
        rollup_1h=hour,
        rollup_1d=hour * DAY_OVER_HOUR,
        graph=len(snapshot.pack_edges(plan_sample.edges(links))),
        naive_record=len(json.dumps(naive, separators=(",", ":"))),
        naive_item=_naive_item(naive),
    )


def item_size(item: Item) -> int:
    """Bytes of an item as DynamoDB counts them (developer guide, "DynamoDB item sizes and formats")."""
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def _value_size(value: Item) -> int:
    ((kind, content),) = value.items()
    if kind == "N":
        return (len(content.strip("-0.")) + 1) // 2 + 1
    if kind == "L":
        return 3 + sum(1 + _value_size(each) for each in content)
    return len(content.encode() if isinstance(content, str) else content)


def _envelope(payload: bytes) -> bytes:
    """What the rule's SQL makes of a payload (infrastructure/template.yaml)."""
    fields = {"b": base64.b64encode(payload).decode(), "thing": GATEWAY, "client": GATEWAY}
    return json.dumps({**fields, "principal": "c" * 64, "rx": START_MS}, separators=(",", ":")).encode()


def _chunk(batch: Batch, payload: bytes) -> Item:
    return {
        keys.PARTITION: {"S": keys.chunk_partition(batch.gateway, batch.first_ms)},
        keys.SORT: {"S": keys.chunk_sort(batch.first_ms, batch.epoch, batch.first_sequence)},
        keys.BYTES: {"B": payload},
        keys.EXPIRES: {"N": str(batch.sealed_ms // 1000)},
    }


def _latest(batches: Sequence[Batch], links: int) -> Item:
    """The state after the sample, with all that enrichment adds; every link stands in it."""
    rounds = plan_sample.readings(links, links, 1)
    first = Batch(GATEWAY, 1, 0, START_MS, tuple(replace(each, at_ms=START_MS - 1) for each in rounds))
    arrivals = [_arrival(each) for each in (first, *batches)]
    edges = plan_sample.edges(links)
    version = keys.version(START_MS, 1, 0)
    entry = Entry(
        {
            each.link: Definition(Link(each.link, peer=each.peer, medium=each.medium), version)
            for each in edges
        },
        metadata=Metadata(
            "site-0001",
            "region-01",
            -33.962778,
            18.409722,
            peers={},
            links={
                each.link: LinkMetadata(each.medium, 1_000 * number) for number, each in enumerate(edges, 100)
            },
        ),
    )
    progress = Progress()
    enrich.advance(progress, arrivals, entry, _KEEP_DAYS * keys.DAY_MS)
    return latest.pack(GATEWAY, progress.version, progress.image, b"")


def _arrival(batch: Batch) -> Arrival:
    at_ms = batch.last_ms + 1
    position = Position("", "", at_ms)
    return Arrival(Envelope(position, GATEWAY, GATEWAY, at_ms, False, b""), sealed(batch))


def _rollups(links: int, interval_s: float) -> tuple[float, float]:
    """Bytes of a 5-minute and of an hour's rollup."""
    sampled = min(links, SAMPLE_LINKS)
    rounds = min(max(round(FINE.length_ms / 1000 / interval_s), 1), SAMPLE_ROUNDS)
    # A little faster than real, so that the jitter of the last round stays within the period.
    pace_s = 0.99 * FINE.length_ms / 1000 / rounds
    fine = []
    for period in range(HOUR.length_ms // FINE.length_ms):
        batch = plan_sample.batch(rounds * sampled, sampled, pace_s, seed=period)
        (rollup,) = rollup_item.of_batches(GATEWAY, [batch], 0, keys.MAX_MS)
        fine.append(replace(rollup, start_ms=HOUR.start(START_MS) + period * FINE.length_ms))
    (hour,) = rollup_item.combine(fine, HOUR)
    factor = links / sampled
    return _mean_size(fine) * factor, _mean_size([hour]) * factor


def _mean_size(rollups: Iterable[Rollup]) -> float:
    return fmean(item_size(rollup_item.pack(each, _KEEP_DAYS)) for each in rollups)


def _naive_item(reading: dict[str, object]) -> int:
    """An item with an attribute for each column."""
    item: Item = {
        "p": {"S": f"{reading['gateway']}#{reading['link']}"},
        "s": {"N": str(reading["at_ms"])},
        keys.EXPIRES: {"N": str(START_MS // 1000)},
    }
    item |= {name: {"N": str(value)} for name, value in reading.items() if isinstance(value, int)}
    return item_size(item)
