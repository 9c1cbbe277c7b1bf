"""The resident agent's memory beside the floor: the bare interpreter with the same standard modules."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Mapping

from tests.benchmarks.gateway import installed
from tests.benchmarks.paired import Row

FLOOR = "import asyncio, ssl, json, tomllib, argparse, logging"
AGENT = "import edge_agent.life, edge_agent.config_load, edge_agent.mqtt_paho, psutil"
REPORT = "print(next(l.split()[1] for l in open('/proc/self/smaps_rollup') if l.startswith('Pss:')))"
LEAN = "import sys; assert 'scapy' not in sys.modules"
"""scapy is for the short-lived child of the path probe alone."""
REPEATS = 5


def pss_mib(imports: str, environment: Mapping[str, str]) -> float:
    """Median proportional set size of a fresh process after its imports, MiB."""
    command = [sys.executable, "-c", f"{imports}\n{REPORT}"]
    sizes = [
        int(subprocess.run(command, capture_output=True, check=True, env=environment).stdout)
        for _ in range(REPEATS)
    ]
    return statistics.median(sizes) / 1024


def rows() -> list[Row]:
    """PSS after all imports of an agent with paho, and of the floor."""
    with installed() as environment:
        ours, floor = pss_mib(f"{AGENT}\n{LEAN}", environment), pss_mib(FLOOR, environment)
    return [Row("agent with paho, imported", "MiB PSS", ours, floor, "bare interpreter", at_most=1.6)]
