"""What the kernel says about a process: memory and time, from /proc."""

from __future__ import annotations

import os
from pathlib import Path

MB = 1_000_000
"""Of two megabytes the smaller one: the stricter bound."""
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_KERNEL_UNIT = 1024
"""smaps is in KiB, whatever it writes."""


def pss_mb(pid: int) -> float:
    """Proportional set size, MB: pages that other processes use too count in part."""
    return _rollup_mb(pid, "Pss")


def alone_mb(pid: int) -> float:
    """What PSS would be if no other process used the same pages, MB: a gateway has no other Python."""
    return _rollup_mb(pid, "Rss")


def cpu_s(pid: int) -> float:
    """CPU time of all its threads and of its ended children so far, s, in steps of a clock tick (10 ms)."""
    figures = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, figures[11:15])) * _TICK_S


def _rollup_mb(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * _KERNEL_UNIT / MB
    raise RuntimeError(f"smaps_rollup has no {name}")
