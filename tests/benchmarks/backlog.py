"""A spool as an outage leaves it: readings of days, sealed and never sent."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

from edge_agent.contract import Flag, Link, Reading
from edge_agent.probes.simulated import LinkModel
from edge_agent.spool import MemoryDisk, Spool
from edge_agent.taken import Taken
from tests.benchmarks.gateway import PERIOD_S, link_id
from tests.benchmarks.site import GATEWAY, TOPIC

MAX_BYTES = 64 << 20
COMMIT = 600


def readings(links: int, count: int, until_ms: int) -> Iterator[Taken]:
    """The last so many readings before a time, each link in its turn."""
    noise = random.Random(1)
    models = [LinkModel(1, link_id(number)) for number in range(links)]
    step_ms = int(PERIOD_S * 1000 / links)
    for number in range(count):
        at_ms = until_ms - (count - number) * step_ms + noise.randrange(100)
        model = models[number % links]
        yield Taken(Reading(link_id(number % links), "echo", at_ms, model.values(at_ms), Flag.CLOCK_SYNCED))


def build(folder: Path, links: int, count: int, until_ms: int) -> int:
    """Write the spool to a folder that does not exist yet; returns how many batches are in it."""
    disk = MemoryDisk()
    named = [Link(link_id(number)) for number in range(links)]
    spool = Spool(disk, GATEWAY, named, MAX_BYTES, len(TOPIC))
    waiting: list[Taken] = []
    for reading in readings(links, count, until_ms):
        waiting.append(reading)
        if len(waiting) == COMMIT:
            _keep(spool, waiting, until_ms)
    _keep(spool, waiting, until_ms)
    batches = spool.stats().batches
    spool.close()
    folder.mkdir()
    for name in disk.names():
        (folder / name).write_bytes(disk.read(name, 0, disk.size(name)))
    return batches


def _keep(spool: Spool, waiting: list[Taken], now_ms: int) -> None:
    spool.append(waiting)
    waiting.clear()
    while spool.seal(now_ms, full_only=True):
        pass


if __name__ == "__main__":
    print(build(Path(sys.argv[1]), *map(int, sys.argv[2:5])))
