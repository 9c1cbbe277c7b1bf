"""`linkview audit`: is every reading that was generated in the table exactly once, as it was generated?

And is all that is made from readings what they come to: latest states, link states, the graph, rollups,
gaps? It shares nothing with the way in and the passes but the readers of their items: it reads the tables
itself, decodes chunks with a reader of its own, counts again in plain Python, and compares with the truth
files that the agent and the simulator keep.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cloud.audit_compare import SHOWN, Report, Tables, TruthError, read_tables, settle, truth
from cloud.audit_items import utc
from cloud.audit_ledger import Ledger
from cloud.target import Target, add_options, failures, from_arguments


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `audit` to linkview's commands."""
    parser = subparsers.add_parser(
        "audit",
        help="compare what was generated with what is stored",
        description="Compare truth files with the tables: readings one by one; latest states, link states, "
        "the graph, rollups and gaps with what they come to.",
        epilog="Exit code: 0 every reading exactly once, all else as recomputed; 1 not so; "
        "2 nothing to compare with.",
    )
    parser.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="truth files (all of the state folder)"
    )
    parser.add_argument(
        "--settle",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="wait so long for what is still missing",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    add_options(parser)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 86_400:
        raise argparse.ArgumentTypeError("must be 0 to 86400 seconds")
    return value


def run(args: argparse.Namespace) -> int:
    """Audit the target's table; 0 exactly once, 1 not, 2 no truth to compare with."""
    target = from_arguments(args)
    folder = _truth_folder(target)
    files: Sequence[Path] = args.files or sorted(folder.glob("*.jsonl"))
    with closing(Ledger()) as ledger:
        try:
            ledger.add_generated(truth(files))
        except TruthError as error:
            return _unusable(str(error))
        if not ledger.spans():
            where = "the files given" if args.files else f"{folder}/*.jsonl"
            return _unusable(
                f"no generated reading in {where}: run `fleet-simulator run` or `edge-agent run --record`"
            )
        report = _audit(ledger, target, args.settle)
    if args.json:
        print(json.dumps(_describe(report), indent=2))
    else:
        _show(report, Console(soft_wrap=True, highlight=False))
    return 0 if report.exact else 1


def _truth_folder(target: Target) -> Path:
    """Where the simulator leaves its truth, on AWS in a folder for each stack."""
    state = target.state if target.state is not None else Path(".linkpulse") / target.stack
    return state / "truth"


def _unusable(message: str) -> int:
    print(f"linkview: {message}", file=sys.stderr)
    return 2


def _audit(ledger: Ledger, target: Target, seconds: float) -> Report:
    database, readings = target.dynamodb(), target.output("ReadingsTable")
    latest = target.output("LatestTable")
    progress = Console(stderr=True)
    with failures(target), progress.status("reading the tables") as status:

        def scan() -> Tables:
            return read_tables(database, readings, latest, time.time_ns() // 1_000_000)

        def tell(report: Report) -> None:
            text = f"waiting for {report.counts['missing']:,} of {report.generated:,} readings"
            status.update(text)

        return settle(ledger, scan, seconds, tell)


def _describe(report: Report) -> dict[str, Any]:
    offences = [{**asdict(each), "utc": utc(each.at_ms)} for each in report.offences]
    checks = [
        {
            "what": each.what,
            "compared": each.compared,
            "open": each.open,
            "undetermined": each.undetermined,
            "differing": len(each.differences),
            "differences": [asdict(one) for one in each.differences[:SHOWN]],
        }
        for each in report.checks
    ]
    return {"exact": report.exact, **asdict(report), "offences": offences, "checks": checks}


def _show(report: Report, console: Console) -> None:
    table = Table("", "count", box=None)
    both = (("gateways", report.gateways), ("generated", report.generated), ("stored", report.stored))
    for name, figure in (*both, *report.counts.items(), ("faulty items", report.fault_count)):
        table.add_row(name, f"{figure:,}")
    for check in report.checks:
        table.add_row(f"{check.what} compared", f"{check.compared:,}")
        table.add_row("  differing", f"{len(check.differences):,}")
        table.add_row("  not due yet", f"{check.open:,}")
        if check.undetermined:
            table.add_row("  one of several", f"{check.undetermined:,}")
    table.columns[1].justify = "right"
    console.print(table)
    for line in _named(report):
        console.print(line, markup=False)
    console.print(_verdict(report), style="green" if report.exact else "red")


def _named(report: Report) -> Iterator[str]:
    """A line for each of the first things that are wrong."""
    for offence in report.offences:
        name = f"{offence.gateway} {offence.link} {offence.kind} {utc(offence.at_ms)}"
        yield f"{offence.verdict}: {name}{': ' if offence.detail else ''}{offence.detail}"
    for fault in report.faults:
        first = f" (first reading: {fault.first_reading})" if fault.first_reading else ""
        yield f"item {fault.p} / {fault.s}: {fault.reason}{first}"
    for check in report.checks:
        for each in check.differences[:SHOWN]:
            yield f"{check.what}: {each.name}: {each.detail}"


def _verdict(report: Report) -> str:
    derived = sum(len(each.differences) for each in report.checks)
    if report.exact:
        made = ", ".join(f"{each.compared:,} {each.what}" for each in report.checks)
        whole = f"{report.generated:,} readings, {report.gateways:,} gateways"
        return f"every reading exactly once: {whole}; as recomputed: {made}"
    wrong, shown = sum(report.counts.values()), len(report.offences)
    more = f", the first {shown} are named above" if shown < wrong else ""
    said = f"not exactly once: readings {wrong:,}{more}; faulty items {report.fault_count:,}"
    return f"{said}; differences {derived:,}"
