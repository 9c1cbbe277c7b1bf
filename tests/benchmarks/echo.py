"""CPU of the echo engine beside fping: 5,000 targets on loopback, whose answers cost both the same."""

from __future__ import annotations

import asyncio
import json
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.echo import EchoProbe
from edge_agent.probes.echo_settings import EchoSettings
from edge_agent.probes.probe import Measurement
from tests.benchmarks.paired import Row

TARGETS = 5_000
RATE = 5_000
REPEATS = 3
COUNT = 10
"""Echoes of each target; fping has no more sequence numbers than for 12, when it sends flat out."""
FPING = {"flat out": ["-i", "0.01", "-p", "10"], "at 5,000/s": ["-i", "0.1", "-p", "1000"]}
"""Whole milliseconds between packets for users, but root may ask for less; it reaches 4,500 to 4,900/s."""
_RECEIVED = re.compile(r"xmt/rcv/%loss = (\d+)/(\d+)/")


def addresses() -> list[str]:
    """As many addresses of this machine."""
    return [f"127.1.{number // 250}.{number % 250 + 1}" for number in range(TARGETS)]


def rows() -> list[Row]:
    """CPU seconds for 100,000 echoes, ours and fping's in turn; none where there is no fping."""
    if not shutil.which("fping"):
        print("fping is not installed: no row for the echo engine", file=sys.stderr)
        return []
    return [_row(mode) for mode in FPING]


def _row(mode: str) -> Row:
    taken: tuple[list[float], list[float]] = ([], [])
    measures: tuple[Callable[[str], float], Callable[[str], float]] = (_in_child, _fping)
    for _ in range(REPEATS):
        for figures, measure in zip(taken, measures, strict=True):
            figures.append(measure(mode))
    ours, peer = map(statistics.median, taken)
    what = f"echo engine, {TARGETS:,} targets, {mode}"
    return Row(what, "CPU-s/100k", ours, peer, "fping", at_most=1)


def _in_child(mode: str) -> float:
    """Our figure from a process of its own, so that no other row's memory counts."""
    command = [sys.executable, "-m", "tests.benchmarks.echo", mode]
    return float(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))


def _fping(mode: str) -> float:
    count = str(COUNT)
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("\n".join(addresses()) + "\n")
        file.flush()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = ["fping", "-q", "-f", file.name, "-t", "900", "-c", count, *FPING[mode]]
        said = subprocess.run(command, capture_output=True, text=True, check=False).stderr
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    sent, received = (sum(map(int, each)) for each in zip(*_RECEIVED.findall(said), strict=True))
    assert sent == received == TARGETS * COUNT, f"fping sent {sent} and received {received}"
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent / sent * 100_000


async def _ours(mode: str) -> float:
    paced = mode != "flat out"
    settings = EchoSettings(period_s=60, timeout_s=30, count=COUNT, spacing_ms=1000 if paced else 1)
    links = [ProbedLink(address, target=address) for address in addresses()]
    probe = EchoProbe(settings)
    await probe(links[0])  # opens the socket
    before, started = time.process_time(), time.monotonic()
    rounds: list[asyncio.Task[Measurement]] = []
    while len(rounds) < TARGETS:
        due = int((time.monotonic() - started) * RATE) if paced else TARGETS
        rounds += [asyncio.create_task(probe(link)) for link in links[len(rounds) : due]]
        await asyncio.sleep(0.01)
    measured = await asyncio.gather(*rounds)
    spent = time.process_time() - before
    probe.close()
    received = sum(each.values[1] or 0 for each in measured)
    assert received == TARGETS * COUNT, f"received {received} of {TARGETS * COUNT}"
    return spent / received * 100_000


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_ours(sys.argv[1]))))
