"""Memory and CPU of the resident agent: 20 links, TLS to a real broker, beside a plain script.

The agents and the script run at the same time, each with a broker of its own, and are looked at in turn.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.gateway import LINKS, config, installed, start_agent, start_plain, until_delivered
from tests.benchmarks.paired import Row, not_measured
from tests.benchmarks.process import alone_mb, cpu_s, pss_mb
from tests.benchmarks.site import Site, obstacle

MOST_MB = {"paho": 30.0, "awsiotsdk": 36.0}
DRAINING_MOST_MB = 10.0
CPU_MOST = 1.0
WARM_UP_S = 15
STEADY_S = 60
LOOK_S, LOOK_DRAINING_S = 5, 0.05
BACKLOG_READINGS = 100_000
"""What 20 links measure in 14 hours."""
DRAIN_S = 60
"""Until all of it must have arrived."""
AT_ONCE = "[uplink]\nflush_s = 5\nboot_delay_s = 0\n"
PEER = "plain script"


@dataclass(frozen=True)
class Figures:
    """The most that was seen of a process's memory, MB, and its CPU time, % of one core."""

    pss: float
    alone: float
    cpu: float


def rows() -> list[Row]:
    """PSS and CPU in steady state, and PSS while a backlog is drained."""
    if why := obstacle():
        return [not_measured(f"memory and CPU of the agent, {name}", why) for name in MOST_MB]
    with installed() as environment:
        steady = _steady(environment)
        drained = _draining(environment)
    return [row for name in MOST_MB for row in _rows(name, steady[name], drained[name], steady["plain"])]


def _rows(name: str, agent: Figures, drained_mb: float, peer: Figures) -> list[Row]:
    memory = f"memory, {LINKS} links, {name}"
    return [
        Row(memory, "MB PSS", agent.pss, peer.pss, PEER, most=MOST_MB[name]),
        Row("... as the only Python here", "MB RSS", agent.alone, peer.alone, PEER),
        Row(
            f"... more, draining {BACKLOG_READINGS:,}",
            "MB",
            drained_mb - agent.alone,
            agent.alone,
            "before the backlog",
            most=DRAINING_MOST_MB,
        ),
        Row(f"CPU, {LINKS} links, {name}", "% core", agent.cpu, peer.cpu, PEER, most=CPU_MOST),
    ]


def _steady(environment: Mapping[str, str]) -> dict[str, Figures]:
    with ExitStack() as held:
        sites = {name: held.enter_context(Site()) for name in (*MOST_MB, "plain")}
        started = {name: _start(name, site, environment) for name, site in sites.items()}
        time.sleep(WARM_UP_S)
        for name in MOST_MB:
            started[name].send_signal(signal.SIGUSR1)  # rather than wait for its minute to connect
        for name, site in sites.items():
            until_delivered(site, started[name])
        before = {name: cpu_s(each.pid) for name, each in started.items()}
        begun = time.monotonic()
        seen: dict[str, list[tuple[float, float]]] = {name: [] for name in started}
        for _ in range(STEADY_S // LOOK_S):
            time.sleep(LOOK_S)
            for name, each in started.items():
                seen[name].append((pss_mb(each.pid), alone_mb(each.pid)))
        passed = time.monotonic() - begun
        spent = {name: cpu_s(each.pid) - before[name] for name, each in started.items()}
        return {
            name: Figures(max(each[0] for each in seen[name]), max(each[1] for each in seen[name]), cpu)
            for name, cpu in ((name, 100 * spent[name] / passed) for name in started)
        }


def _start(name: str, site: Site, environment: Mapping[str, str], extra: str = "") -> subprocess.Popen[bytes]:
    if name == "plain":
        return start_plain(site, environment)
    return start_agent(site, config(site, name, extra=extra), environment)


def _draining(environment: Mapping[str, str]) -> dict[str, float]:
    """The most memory of each agent while it sends what an outage has left, MB, nothing of it shared."""
    with ExitStack() as held:
        sites = {name: held.enter_context(Site()) for name in MOST_MB}
        batches = _backlogs([site.folder / "spool" for site in sites.values()])
        started = {name: _start(name, site, environment, AT_ONCE) for name, site in sites.items()}
        peaks = dict.fromkeys(MOST_MB, 0.0)
        ends = time.monotonic() + DRAIN_S
        while time.monotonic() < ends and min(site.arrived() for site in sites.values()) < batches:
            for name, each in started.items():
                peaks[name] = max(peaks[name], alone_mb(each.pid))
            time.sleep(LOOK_DRAINING_S)
        for name, site in sites.items():
            if site.arrived() < batches:
                raise RuntimeError(f"{name}: {site.arrived():,} of {batches:,} batches: {site.said('agent')}")
        return peaks


def _backlogs(folders: list[Path]) -> int:
    """The same spool in each folder, made by a process of its own; how many batches are in one."""
    counted = (str(LINKS), str(BACKLOG_READINGS), str(int(time.time() * 1000)))
    command = [sys.executable, "-m", "tests.benchmarks.backlog", str(folders[0]), *counted]
    batches = int(subprocess.run(command, capture_output=True, check=True).stdout)
    for folder in folders[1:]:
        shutil.copytree(folders[0], folder)
    return batches
