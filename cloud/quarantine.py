"""`linkview quarantine list`: records that were not understood or not believed, and why."""

from __future__ import annotations

import argparse
import base64
import time
from typing import Any

from rich.console import Console

from cloud import display, keys, queries
from cloud.display import Column
from cloud.poison import Quarantined
from cloud.target import Target, add_options, from_arguments

SHOWN = 50
_COLUMNS = (
    Column("time"),
    Column("thing", wraps=True),
    Column("size B", right=True, spare=1),
    Column("rule"),
    Column("reason", wraps=True),
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `quarantine list`."""
    parser = subparsers.add_parser("quarantine", help="records set aside, with their reason")
    actions = parser.add_subparsers(dest="action", required=True, metavar="list")
    listing = actions.add_parser("list", help="the records of a day, newest first", description=__doc__)
    add_options(listing)
    listing.add_argument("--day", metavar="WHEN", default="now", help="a UTC day: 2026-11-22, or 1d (ago)")
    listing.add_argument(
        "--limit", type=_count, default=SHOWN, metavar="N", help="records at most (%(default)s)"
    )
    listing.add_argument("--json", action="store_true", help="for machines, with the payloads in base64")


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def run(args: argparse.Namespace) -> int:
    """Print the quarantined records of a day."""
    target, now_ms = from_arguments(args), time.time_ns() // 1_000_000
    day_ms = display.moment(args.day, now_ms)
    found = queries.quarantined(target, day_ms, args.limit)
    if args.json:
        display.print_json([describe(record) for record in found])
        return 0
    console = display.console()
    if not found:
        console.print(f"nothing is quarantined on {keys.day(day_ms)} (UTC), {target.place}")
        return 0
    title = f"quarantined on {keys.day(day_ms)} (UTC), {target.place}"
    console.print(display.table(title, _COLUMNS, [_cells(record) for record in found]))
    return 0


def _cells(record: Quarantined) -> tuple[str, ...]:
    size = f"{record.size:,}{' (cut)' if record.truncated else ''}"
    texts = (display.utc(record.at_ms), record.thing, size, record.code, record.reason)
    return tuple(map(display.clean, texts))


def describe(record: Quarantined) -> dict[str, Any]:
    """A record as JSON values."""
    return {
        "at_ms": record.at_ms,
        "thing": record.thing,
        "rule": record.code,
        "reason": record.reason,
        "shard": record.shard,
        "sequence": record.sequence,
        "size_bytes": record.size,
        "truncated": record.truncated,
        "payload_base64": base64.b64encode(record.payload).decode(),
    }


def notice(target: Target, now_ms: int, console: Console) -> None:
    """Say how many records are quarantined today, when there are."""
    count = queries.quarantine_counts(target, now_ms).total()
    if count:
        verb = "record is" if count == 1 else "records are"
        console.print(f"{count:,} {verb} quarantined today: linkview quarantine list", style="yellow")
