"""Memory of the echo engine with 5,000 targets in flight, beside fping with the same targets."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.echo import EchoProbe
from edge_agent.probes.echo_settings import EchoSettings
from tests.benchmarks.echo import TARGETS, addresses
from tests.benchmarks.paired import Row, not_measured
from tests.benchmarks.process import alone_mb

COUNT, SPACING_MS = 5, 200
LOOKS = 20


def rows() -> list[Row]:
    """What a round of all targets adds to the process, and what fping has in all."""
    what = f"echo, {TARGETS:,} targets in flight"
    if not shutil.which("fping"):
        return [not_measured(what, "fping is not installed: apt-get install fping")]
    command = [sys.executable, "-m", "tests.benchmarks.echo_memory"]
    ours = float(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))
    return [Row(what, "MB more", ours, _fping_mb(), "fping, all of it")]


async def _ours_mb() -> float:
    probe = EchoProbe(EchoSettings(period_s=60, timeout_s=30, count=COUNT, spacing_ms=SPACING_MS))
    links = [ProbedLink(address, target=address) for address in addresses()]
    await probe(links[0])  # opens the socket
    gc.collect()
    before = most = alone_mb(os.getpid())
    rounds = [asyncio.create_task(probe(link)) for link in links]
    waiting = asyncio.gather(*rounds)
    while not waiting.done():
        await asyncio.sleep(COUNT * SPACING_MS / 1000 / LOOKS)
        most = max(most, alone_mb(os.getpid()))
    assert all((each.values[1] or 0) == COUNT for each in waiting.result()), "lost echoes on loopback"
    probe.close()
    return most - before


def _fping_mb() -> float:
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("\n".join(addresses()) + "\n")
        file.flush()
        command = ["fping", "-q", "-f", file.name, "-c", str(COUNT), "-i", "0.1", "-p", "1000"]
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        most = 0.0
        while running.poll() is None:
            most = max(most, _seen_mb(running.pid))
            time.sleep(0.1)
    return most


def _seen_mb(pid: int) -> float:
    try:
        return alone_mb(pid)
    except (OSError, RuntimeError):  # it has ended meanwhile
        return 0.0


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_ours_mb())))
