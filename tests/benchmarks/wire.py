"""The packed wire form beside the plain choice: JSON, columns named once, deflated."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Callable

from edge_agent.contract import KINDS, Batch, Flag, Reading, decode, encode
from tests.benchmarks.paired import Row, rates

ROUNDS = 200
PEER = "json columns + zlib -9"


def minute() -> Batch:
    """The default fleet's batch: 10 links by 6 echo rounds, jitter about 2 % of the round trip."""
    noise, start = random.Random(1), 1_763_829_000_000
    bases = [noise.uniform(2_000, 60_000) for _ in range(10)]
    readings = []
    for turn in range(6):
        for link, base in enumerate(bases):
            trip = sorted(int(base + noise.expovariate(50 / base)) for _ in range(5))
            mean, spread = sum(trip) // 5, trip[-1] - trip[0]
            times = (trip[0], trip[2], None, trip[-1], mean, spread // 3, spread // 4)
            values = (5, 5, 0, 0, 0, 0, *times, 0, 64)
            at = start + turn * 10_000 + link * 900 + noise.randrange(200)
            readings.append(Reading(f"site-{link:02d}.wlan{link % 2}", "echo", at, values, Flag(7)))
    return Batch("gw-0001", 0x6500_0000_1234_5678, 1000, start + 60_000, tuple(readings))


def plain(batch: Batch) -> bytes:
    """The peer's form: each column's name once, then its values."""
    columns = [column.name for column in KINDS["echo"].columns]
    rows = [[reading.link, reading.at_ms, int(reading.flags), *reading.values] for reading in batch.readings]
    content = {"gateway": batch.gateway, "epoch": batch.epoch, "first": batch.first_sequence}
    content |= {"columns": ["link", "at_ms", "flags", *columns], "rows": rows}
    return zlib.compress(json.dumps(content, separators=(",", ":")).encode(), 9)


def rows() -> list[Row]:
    """Size of a batch, and readings a second of CPU time for each direction."""
    batch = minute()
    packed, peer = encode(batch), plain(batch)
    units = len(batch.readings)

    def repeat(action: Callable[..., object], *given: object) -> object:
        for _ in range(ROUNDS):
            action(*given)
        return None

    encoding = rates(lambda: repeat(encode, batch), lambda: repeat(plain, batch), units * ROUNDS)
    decoding = rates(
        lambda: repeat(decode, packed),
        lambda: repeat(lambda: json.loads(zlib.decompress(peer))),
        units * ROUNDS,
    )
    return [
        Row("batch of 60 readings", "B", len(packed), len(peer), PEER, at_most=0.7),
        Row("encode, checked", "readings/s", *encoding, PEER),
        Row("decode, checked", "readings/s", *decoding, PEER),
    ]
