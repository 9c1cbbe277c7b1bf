"""What a gateway of the planned fleet would send: seeded readings, batches as the agent seals them (pure).

A reading is a round of 5 echoes, its round trip 2 to 60 ms with an exponential jitter of 2 %.
"""

from __future__ import annotations

import math
import random

from cloud.snapshot import Edge
from edge_agent.contract import METERING_UNIT, Batch, ContractError, Flag, Reading, encode

GATEWAY = "gateway-00001"
TOPIC = f"$aws/rules/linkpulse_production_ingest/v1/{GATEWAY}/m"
START_MS = 1_795_300_200_000
"""The moment of the sample, ms: the start of an hour."""
ECHOES = 5
"""In a round, as the agent's default has it."""
BATCHES = 12
"""Sample batches."""
MOST = 1_000
"""Readings that 5 KB may hold; where the search for the number that they do hold begins."""
_EPOCH = 0x6500_0000_1234_5678
_SEQUENCE = 1_000_000


def batches(links: int, interval_s: float, batch_s: float) -> tuple[float, list[Batch]]:
    """Readings in a message on average, and samples, split until one is metered once, as the spool does."""
    wanted = max(links * batch_s / interval_s, 1.0)
    parts = math.ceil(wanted / MOST)
    while not _fits(batch(math.ceil(wanted / parts), links, interval_s)):
        parts += 1
    count = math.ceil(wanted / parts)
    return wanted / parts, [batch(count, links, interval_s, seed) for seed in range(BATCHES)]


def _fits(sample: Batch) -> bool:
    try:
        return len(TOPIC) + len(encode(sample)) <= METERING_UNIT
    except ContractError:
        return False


def batch(count: int, links: int, interval_s: float, seed: int = 0) -> Batch:
    """A sealed batch of so many readings."""
    found = readings(count, links, interval_s, seed)
    return Batch(GATEWAY, _EPOCH, _SEQUENCE + seed * count, max(each.at_ms for each in found) + 9, found)


def readings(count: int, links: int, interval_s: float, seed: int = 0) -> tuple[Reading, ...]:
    """Readings of the links in turn, a round every interval."""
    rng = random.Random(seed)
    bases = [random.Random(link).uniform(2_000, 60_000) for link in range(links)]
    found = []
    for number in range(count):
        turn, link = divmod(number, links)
        trip = sorted(int(bases[link] + rng.expovariate(50 / bases[link])) for _ in range(ECHOES))
        spread = trip[-1] - trip[0]
        times = (trip[0], trip[2], None, trip[-1], sum(trip) // ECHOES, spread // 3, spread // 4)
        values = (ECHOES, ECHOES, 0, 0, 0, 0, *times, 0, 64)
        at_ms = START_MS + int((turn + link / links) * interval_s * 1000) + rng.randrange(200)
        found.append(Reading(f"site-{link:04d}.wlan{link % 2}", "echo", at_ms, values, Flag(7)))
    return tuple(found)


def edges(links: int) -> list[Edge]:
    """The links as the graph snapshot has them."""
    return [
        Edge(GATEWAY, each.link, f"peer-{each.link}", "radio", "echo", each.at_ms, 30, 0, each["rtt_p50_us"])
        for each in readings(links, links, 1)
    ]
