"""The resident agent's memory beside the floor: the bare interpreter with the same standard modules."""

from __future__ import annotations

import statistics
import subprocess
import sys

from tests.benchmarks.paired import Row

FLOOR = "import asyncio, sqlite3, ssl, json, tomllib, argparse, logging"
AGENT = "import edge_agent.agent, edge_agent.mqtt_paho, psutil"
REPORT = "print(next(l.split()[1] for l in open('/proc/self/smaps_rollup') if l.startswith('Pss:')))"
LEAN = "import sys; assert 'scapy' not in sys.modules"
"""scapy is for the short-lived child of the path probe alone."""
REPEATS = 5


def pss_mib(imports: str) -> float:
    """Median proportional set size of a fresh process after its imports, MiB."""
    command = [sys.executable, "-c", f"{imports}\n{REPORT}"]
    sizes = [int(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(REPEATS)]
    return statistics.median(sizes) / 1024


def rows() -> list[Row]:
    """PSS after all imports of an agent with paho, and of the floor."""
    return [
        Row(
            "agent with paho, imported",
            "MiB PSS",
            pss_mib(f"{AGENT}\n{LEAN}"),
            pss_mib(FLOOR),
            "bare interpreter",
            at_most=1.6,
        )
    ]
