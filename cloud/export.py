"""`linkview export`: readings or rollups as flat files, one for each kind, however long the range is.

Rows are ordered by gateway, then by time. Without --si, values are the stored integers and names hold their
units; with it, headers name the SI unit.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cloud import display, export_files, export_rows, queries
from cloud.buckets import HOUR, STEPS, Step
from cloud.export_files import Files
from cloud.fleet_names import gateways, require
from cloud.target import Target, TargetError, add_options, from_arguments
from edge_agent.contract import KINDS

SLICE_MS = 6 * HOUR.length_ms
"""Readings of a gateway are read for so long at a time: what is held in memory."""
PERIODS = 288
"""Likewise rollups."""


@dataclass(frozen=True, slots=True)
class Range:
    """What to export."""

    since_ms: int
    until_ms: int
    kind: str | None
    step: Step | None
    """Rollups of this step; None for readings."""
    si: bool

    def slices(self) -> list[tuple[int, int]]:
        """The range in pieces, oldest first; whole periods for rollups."""
        start = self.step.start(self.since_ms) if self.step else self.since_ms
        width = self.step.length_ms * PERIODS if self.step else SLICE_MS
        return [(at, min(at + width, self.until_ms)) for at in range(start, self.until_ms, width)]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `export`."""
    parser = subparsers.add_parser(
        "export", help="readings or rollups as CSV or Parquet", description=__doc__
    )
    add_options(parser)
    parser.add_argument("--format", choices=export_files.FORMATS, default="csv", help="(%(default)s)")
    parser.add_argument("--since", metavar="WHEN", default="1d", help="90s, 2d ago or ISO 8601 (%(default)s)")
    parser.add_argument("--until", metavar="WHEN", default="now", help="likewise (%(default)s)")
    parser.add_argument("--kind", choices=KINDS, help="one kind only")
    parser.add_argument("--gateway", metavar="NAME", help="one gateway only")
    parser.add_argument(
        "--rollups", choices=STEPS, nargs="?", const="5m", metavar="STEP", help="5m, 1h or 1d, no readings"
    )
    parser.add_argument("--si", action="store_true", help="readings in SI units, as the headers say")
    parser.add_argument(
        "--output", type=Path, default=Path("export"), metavar="DIR", help="folder (%(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Write the files and say what they hold."""
    now_ms = time.time_ns() // 1_000_000
    since_ms, until_ms = display.period(args.since, args.until, now_ms)
    if args.si and args.rollups:
        raise TargetError("rollups hold stored integers: leave --si out", 2)
    opener = export_files.opener(args.format)
    step = STEPS[args.rollups] if args.rollups else None
    wanted = Range(since_ms, until_ms, args.kind, step, args.si)
    target = from_arguments(args)
    names = [args.gateway] if args.gateway else gateways(target)
    with Files(args.output, args.format, opener) as files, _bar() as progress:
        unreadable = _export(target, names, wanted, files, progress)
    console = display.console()
    for name, rows in sorted(files.rows.items()):
        console.print(f"{args.output / name}  {rows:,} rows", markup=False)
    if not files.rows:
        if args.gateway:
            require(target, args.gateway)
        console.print(f"nothing from {display.utc(since_ms)} to {display.utc(until_ms)}: no file was written")
    if unreadable:
        raise TargetError("some stored batches could not be read: is there a newer linkview?")
    return 0


def _bar() -> Progress:
    """A bar on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _export(target: Target, names: list[str], wanted: Range, files: Files, progress: Progress) -> bool:
    """Write all rows; returns whether something stored could not be read."""
    slices = wanted.slices()
    task = progress.add_task("exporting", total=len(names) * len(slices))
    unreadable = False
    for gateway in names:
        progress.update(task, description=gateway)
        for since_ms, until_ms in slices:
            if wanted.step:
                _rollups(target, gateway, since_ms, until_ms, wanted, files)
            else:
                unreadable |= _readings(target, gateway, since_ms, until_ms, wanted, files)
            progress.advance(task)
    return unreadable


def _readings(
    target: Target, gateway: str, since_ms: int, until_ms: int, wanted: Range, files: Files
) -> bool:
    found = queries.history(target, gateway, since_ms, until_ms)
    for reading in found.readings:
        if wanted.kind in (None, reading.kind):
            schema = export_rows.reading_schema(reading.kind, wanted.si)
            files.write(schema, export_rows.reading_row(reading, gateway, wanted.si))
    return found.unreadable > 0


def _rollups(target: Target, gateway: str, since_ms: int, until_ms: int, wanted: Range, files: Files) -> None:
    assert wanted.step is not None
    for rollup in queries.rollups(target, gateway, since_ms, until_ms, wanted.step):
        for kind, row in export_rows.rollup_rows(rollup, wanted.kind):
            files.write(export_rows.rollup_schema(kind, wanted.step), row)
