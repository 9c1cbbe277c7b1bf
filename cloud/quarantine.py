"""`linkview quarantine`: records that were not understood or not believed: why, what they are, put back."""

from __future__ import annotations

import argparse
import base64
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from cloud import display, dump, keys, quarantine_reading, quarantine_replay, queries
from cloud.arguments import whole
from cloud.display import Column
from cloud.poison import Quarantined
from cloud.target import Target, TargetError, add_options, from_arguments

SHOWN = 50
_COLUMNS = (
    Column("id"),
    Column("time", spare=3),
    Column("thing", wraps=True),
    Column("size B", right=True, spare=1),
    Column("rule"),
    Column("put back", spare=2),
    Column("reason", wraps=True),
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `quarantine list`, `show` and `replay`."""
    parser = subparsers.add_parser("quarantine", help="records set aside, with their reason")
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|show|replay")
    listing = actions.add_parser("list", help="the records of a day, newest first", description=__doc__)
    add_options(listing)
    _add_day(listing)
    listing.add_argument(
        "--limit", type=whole(1, 1_000_000), default=SHOWN, metavar="N", help="records at most (%(default)s)"
    )
    listing.add_argument("--json", action="store_true", help="for machines, with the payloads in base64")
    show = actions.add_parser("show", help="one record whole: reason, position and content")
    add_options(show)
    show.add_argument("id", metavar="ID", help="as `quarantine list` gives it")
    show.add_argument("--hex", action="store_true", help="hexadecimal, even if it could be read")
    show.add_argument("--save", type=Path, metavar="FILE", help="write the payload to FILE, to repair it")
    show.add_argument("--json", action="store_true", help="for machines, with the payload in base64")
    replay = actions.add_parser(
        "replay",
        help="put records back into the stream",
        description="Put records back into the stream, as they are or repaired, so that ingest judges them"
        " again. What was put back once stays out unless --again; stored readings are never doubled.",
    )
    add_options(replay)
    replay.add_argument("ids", metavar="ID", nargs="*", help="as `quarantine list` gives it")
    replay.add_argument("--all", action="store_true", help="all records of --day, of --rule when given")
    _add_day(replay)
    replay.add_argument("--rule", metavar="NAME", help="with --all: only those that broke this rule")
    replay.add_argument(
        "--file",
        type=Path,
        metavar="REPAIRED",
        help="put this content in place of the payload (of rule envelope: of the whole record)",
    )
    replay.add_argument("--again", action="store_true", help="even what was put back before")
    replay.add_argument("--force", action="store_true", help="even what would be set aside again")
    replay.add_argument("--dry-run", action="store_true", help="only say what would be done")
    replay.add_argument("--json", action="store_true", help="for machines")


def _add_day(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--day", metavar="WHEN", default="now", help="a UTC day: 2026-11-22, or 1d (ago)")


def run(args: argparse.Namespace) -> int:
    """List, show or put back."""
    target, now_ms = from_arguments(args), time.time_ns() // 1_000_000
    if args.action == "show":
        return _show(args, target)
    if args.action == "replay":
        return quarantine_replay.run(args, target, now_ms)
    return _list(args, target, now_ms)


def _list(args: argparse.Namespace, target: Target, now_ms: int) -> int:
    day_ms = display.moment(args.day, now_ms)
    found = quarantine_reading.listing(target, day_ms, args.limit)
    if args.json:
        display.print_json([describe(record, record.sort in found.replayed) for record in found.records])
    else:
        console, where = display.console(), f"on {keys.day(day_ms)} (UTC), {target.place}"
        if found.records:
            cells = [_cells(record, record.sort in found.replayed) for record in found.records]
            console.print(display.table(f"quarantined {where}", _COLUMNS, cells))
        else:
            console.print(f"nothing is quarantined {where}")
    if found.unreadable:
        raise TargetError(f"{found.unreadable} quarantined records could not be read: a newer linkview?")
    return 0


def _cells(record: Quarantined, replayed: bool) -> tuple[str, ...]:
    size = f"{record.size:,}{' (cut)' if record.truncated else ''}"
    when, done = display.utc(record.at_ms), "yes" if replayed else "no"
    return tuple(map(display.clean, (record.id, when, record.thing, size, record.code, done, record.reason)))


def _show(args: argparse.Namespace, target: Target) -> int:
    record = quarantine_reading.one(target, args.id)
    if args.save:
        try:
            args.save.write_bytes(record.payload)
        except OSError as exc:
            raise TargetError(f"{args.save} cannot be written: {exc.strerror}") from exc
    replayed = record.sort in quarantine_reading.replayed(target, record.at_ms)
    if args.json:
        display.print_json(describe(record, replayed))
        return 0
    console = display.console()
    for name, value in (
        ("id", record.id),
        ("rule", record.code),
        ("reason", record.reason),
        ("thing", record.thing),
        ("client", record.client or ""),
        ("received", display.utc(record.at_ms)),
        ("position", f"{record.shard} {record.sequence}"),
        ("size", f"{record.size:,} B{f', {len(record.payload):,} B kept' if record.truncated else ''}"),
        ("put back", "yes" if replayed else "no"),
    ):
        console.print(f"{name:<9} {display.clean(value)}")
    readable = None if args.hex else dump.as_json(record.payload)
    for line in readable.splitlines() if readable else dump.hexadecimal(record.payload):
        console.print(line, markup=False, soft_wrap=True)
    return 0


def describe(record: Quarantined, replayed: bool = False) -> dict[str, Any]:
    """A record as JSON values."""
    return {
        "id": record.id,
        "at_ms": record.at_ms,
        "thing": record.thing,
        "client": record.client,
        "rule": record.code,
        "reason": record.reason,
        "shard": record.shard,
        "sequence": record.sequence,
        "size_bytes": record.size,
        "truncated": record.truncated,
        "replayed": replayed,
        "payload_base64": base64.b64encode(record.payload).decode(),
    }


def notice(target: Target, now_ms: int, console: Console) -> None:
    """Say how many records are quarantined today, when there are."""
    count = queries.quarantine_counts(target, now_ms).total()
    if count:
        verb = "record is" if count == 1 else "records are"
        console.print(f"{count:,} {verb} quarantined today: linkview quarantine list", style="yellow")
