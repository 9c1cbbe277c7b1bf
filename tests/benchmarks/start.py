"""From exec to the first ICMP echo request, by the kernel's own count in the gateway's namespace."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from subprocess import Popen

from tests.benchmarks.gateway import config, installed, start_agent, start_plain
from tests.benchmarks.paired import Row, not_measured
from tests.benchmarks.site import Site, obstacle

REPEATS = 5
MOST_S = 1.0
WITHIN_S = 30.0
PUBLISHERS = ("paho", "awsiotsdk")
PEER = "plain script"

Start = Callable[[Site, Mapping[str, str]], "Popen[bytes]"]


def rows() -> list[Row]:
    """Median seconds, ours and the peer's in turn; each but the first finds a spool that a crash left."""
    if why := obstacle():
        return [not_measured(f"start to first probe, {name}", why) for name in PUBLISHERS]
    starts: dict[str, Start] = {
        "paho": lambda site, environment: start_agent(site, config(site, "paho"), environment),
        "awsiotsdk": lambda site, environment: start_agent(site, config(site, "awsiotsdk"), environment),
        "plain": start_plain,
    }
    taken: dict[str, list[float]] = {name: [] for name in starts}
    with installed() as environment, Site() as site:
        for _ in range(REPEATS):
            for name, start in starts.items():
                taken[name].append(_first_echo_s(site, partial(start, site, environment)))
    peer = statistics.median(taken["plain"])
    return [
        Row(f"start to first probe, {name}", "s", statistics.median(taken[name]), peer, PEER, most=MOST_S)
        for name in PUBLISHERS
    ]


def _first_echo_s(site: Site, start: Callable[[], Popen[bytes]]) -> float:
    before, begun = site.echoes(), time.monotonic()
    process = start()
    try:
        while site.echoes() == before:
            if process.poll() is not None or time.monotonic() - begun > WITHIN_S:
                raise RuntimeError(f"no probe: {site.said('agent')}")
            time.sleep(0.001)
        return time.monotonic() - begun
    finally:
        process.kill()
        process.wait()
