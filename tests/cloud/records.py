"""Batches, envelopes and Lambda events for the tests of the cloud half."""

from __future__ import annotations

import base64
import json
import random
import zlib
from collections.abc import Iterable
from typing import Any

from edge_agent.contract import Batch, Flag, Link, Outcome, Reading, encode, not_measured
from edge_agent.contract.pack import ENVELOPE
from edge_agent.probes.simulated import LinkModel

NOW = 1_795_300_000_000
"""The moment of the tests, ms: 2026-11-21."""
EPOCH = 0x1234_5678_9ABC


def echo(
    link: str = "a.b", at_ms: int = NOW - 5_000, p50: int | None = 12_000, sent: int = 5, received: int = 5
) -> Reading:
    """An echo reading; without replies its times are null."""
    times: tuple[int | None, ...] = (None,) * 7
    if received and p50 is not None:
        times = (p50 - 500, p50, None, p50 + 900, p50 + 50, 300, 200)
    return Reading(link, "echo", at_ms, (sent, received, 0, 0, 0, 0, *times, 0, 64), Flag.CLOCK_SYNCED)


def interface(link: str = "a.b", at_ms: int = NOW - 5_000, up: int = 1) -> Reading:
    """An interface reading of 100 Mbit/s that carried 1 Mbit in and 2 Mbit out in 10 s."""
    values = (up, 100_000, 1, 1_500, 10_000, 125_000, 250_000, 100, 200, 0, 1, 0, 2, None, None, None)
    return Reading(link, "interface", at_ms, values, Flag.CLOCK_SYNCED)


def denied(link: str = "a.b", at_ms: int = NOW - 5_000) -> Reading:
    """A round that could not measure."""
    return not_measured(link, "echo", at_ms, Outcome.DENIED)


def batch(
    gateway: str = "gw-1",
    readings: Iterable[Reading] | None = None,
    sequence: int = 0,
    links: Iterable[Link] = (),
    epoch: int = EPOCH,
) -> Batch:
    """A sealed batch, of one echo reading by default."""
    chosen = (echo(),) if readings is None else tuple(readings)
    return Batch(gateway, epoch, sequence, max(each.at_ms for each in chosen), chosen, tuple(links))


def fleet_batch(gateway: str, at_ms: int, links: int = 10, rounds: int = 6, seed: int = 1) -> Batch:
    """A minute of a typical gateway: echo readings of simulated links every 10 s, at odd times."""
    rng = random.Random(seed)
    models = {f"{gateway}.p{number}": LinkModel(seed, f"{gateway}.p{number}") for number in range(links)}
    readings = []
    for number in range(rounds):
        for index, (link, model) in enumerate(models.items()):
            at = at_ms + number * 10_000 + index * 937 + rng.randrange(20)
            readings.append(Reading(link, "echo", at, model.values(at), Flag(7)))
    return batch(gateway, readings)


def envelope(
    content: Batch | bytes,
    thing: str | None = None,
    client: str | None = None,
    rx: int = NOW,
    direct: bool = False,
) -> bytes:
    """A record as the rule makes it, or as the simulator does with ``direct``."""
    payload = encode(content) if isinstance(content, Batch) else content
    name = thing or (content.gateway if isinstance(content, Batch) else "gw-1")
    given: dict[str, Any] = {"b": base64.b64encode(payload).decode(), "thing": name, "rx": rx}
    if direct:
        given["source"] = "direct"
    else:
        given.update(client=client or name, principal="c0ffee")
    return json.dumps(given).encode()


def record(data: bytes, sequence: int, shard: int = 0) -> dict[str, Any]:
    """A record of a Lambda event, as AWS documents it for Kinesis."""
    name = f"shardId-{shard:012d}"
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": "1",
            "sequenceNumber": str(sequence),
            "data": base64.b64encode(data).decode(),
            "approximateArrivalTimestamp": (NOW + 200) / 1000,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{name}:{sequence}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "arn:aws:iam::123456789012:role/lambda-role",
        "awsRegion": "eu-central-1",
        "eventSourceARN": "arn:aws:kinesis:eu-central-1:123456789012:stream/lambda-stream",
    }


def records(*data: bytes, first: int = 100) -> list[dict[str, Any]]:
    """Records with consecutive sequence numbers."""
    return [record(each, first + index) for index, each in enumerate(data)]


def inflated(payload: bytes) -> bytes:
    """The body of a packed batch."""
    return zlib.decompress(payload[ENVELOPE.size :], -15)


def deflated(body: bytes) -> bytes:
    """A body under a right checksum."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    return ENVELOPE.pack(1, zlib.crc32(body)) + deflate.compress(body) + deflate.flush()


def size(item: dict[str, Any]) -> int:
    """Bytes of an item as DynamoDB counts them: names and values, at most 21 of a number."""
    return sum(
        len(name) + (len(value["S"]) if "S" in value else len(value["B"]) if "B" in value else 21)
        for name, value in item.items()
    )
