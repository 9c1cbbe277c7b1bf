"""`make bench`: speed, size and memory beside a named peer in the same run; pairs, repeated, medians."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

from rich import box
from rich.console import Console
from rich.table import Table

from tests.benchmarks import (
    agent,
    cost,
    echo,
    echo_memory,
    exactness,
    footprint,
    ingest,
    spool,
    start,
    sustained,
    traffic,
    wire,
)
from tests.benchmarks.paired import Row

SUITES: dict[str, Callable[[], list[Row]]] = {
    "wire": wire.rows,
    "ingest": ingest.rows,
    "agent": agent.rows,
    "echo": echo.rows,
    "echo-memory": echo_memory.rows,
    "spool": spool.rows,
    "footprint": footprint.rows,
    "start": start.rows,
    "traffic": traffic.rows,
    "cost": cost.rows,
    "sustained": sustained.rows,
    "exactness": exactness.rows,
}


def main() -> int:
    """Run the suites asked for and print their rows; exits 1 when a row misses its bound."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("suites", nargs="*", default=list(SUITES), help=f"of {', '.join(SUITES)}")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    rows: list[Row] = []
    for name in arguments.suites:
        with console.status(f"measuring {name}"):
            rows += SUITES[name]()
    if arguments.json:
        json.dump([row.as_json() for row in rows], sys.stdout, indent=2)
    else:
        Console(width=None if sys.stdout.isatty() else 160).print(_table(rows))
    return 0 if all(row.reached for row in rows) else 1


def _table(rows: list[Row]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for name in ("what", "ours", "peer", "unit", "ratio", "to reach", "the peer"):
        is_figure = name in ("ours", "peer", "ratio")
        table.add_column(name, justify="right" if is_figure else "left", no_wrap=is_figure)
    for row in rows:
        if row.not_measured:
            table.add_row(row.what, "-", "-", "", "-", "-", row.not_measured, style="dim")
            continue
        style = "" if row.reached else "bold red"
        figures = (f"{row.ours:,.1f}", f"{row.peer:,.1f}", row.unit, f"{row.ratio:.2f}")
        table.add_row(row.what, *figures, row.bound, row.peer_name, style=style)
    return table


if __name__ == "__main__":
    sys.exit(main())
