"""`linkview gaps`: readings that a gateway has numbered and the tables do not hold, and asking for them."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from cloud import display, fleet_names, gaps_reading, gaps_rows, gaps_scan, resend
from cloud.arguments import whole
from cloud.display import Column
from cloud.dynamo import RefusedError, TransientError
from cloud.gap_ranges import Hole
from cloud.gaps_item import GapsError
from cloud.gaps_rows import Row
from cloud.gaps_state import Gaps
from cloud.gaps_store import GapStore
from cloud.keys import DAY_MS, MAX_MS
from cloud.progress import watched
from cloud.resend import Policy, PublishError
from cloud.rollup_store import RollupStore
from cloud.target import Target, TargetError, add_options, from_arguments

SHOWN = 50
KEEP_DAYS = 90
"""Days that what is known is kept after its last change by this command."""
_COLUMNS = (
    Column("gateway", wraps=True),
    Column("epoch", spare=4),
    Column("sequence"),
    Column("readings", right=True),
    Column("reason"),
    Column("from", spare=3),
    Column("to"),
    Column("asked", spare=1),
    Column("filled", spare=2),
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `gaps` and `gaps ask`."""
    parser = subparsers.add_parser(
        "gaps",
        help="missing readings, and asking for them",
        description="Numbers of readings that are missing in the tables: holes between those stored, and"
        " losses that gateways tell of. `gaps ask` asks the gateways to send those of unknown reason"
        " again. Known from the hourly pass; --scan reads all stored batches now.",
    )
    add_options(parser)
    parser.add_argument("action", nargs="?", choices=("list", "ask"), default="list", help="(%(default)s)")
    parser.add_argument("--gateway", metavar="NAME", help="of this gateway only")
    parser.add_argument("--scan", action="store_true", help="read the stored batches first")
    parser.add_argument("--since", metavar="WHEN", default="30d", help="with --scan (%(default)s)")
    parser.add_argument(
        "--limit", type=whole(0, 1_000_000), default=SHOWN, metavar="N", help="rows (0 and --json: all)"
    )
    parser.add_argument(
        "--most",
        type=whole(1, 1_000_000),
        default=resend.MOST,
        metavar="N",
        help="ask for N holes of a gateway at once (%(default)s)",
    )
    parser.add_argument("--again", action="store_true", help="ask even for what was asked within the hour")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be asked for")
    parser.add_argument("--json", action="store_true", help="for machines")


def run(args: argparse.Namespace) -> int:
    """List, or ask for, what is missing."""
    target, now_ms = from_arguments(args), time.time_ns() // 1_000_000
    with _failures(target):
        table = target.output("ReadingsTable")
        store = GapStore(target.dynamodb(), table, KEEP_DAYS)
        names = [args.gateway] if args.gateway else fleet_names.gateways(target)
        unreadable = _scan(args, target, store, names, now_ms) if args.scan else 0
        found = list(gaps_reading.read(target.dynamodb(), table, names))
        if args.gateway and not found:
            fleet_names.require(target, args.gateway)
        known = sorted((each for each in found if isinstance(each, Gaps)), key=lambda each: each.gateway)
        if args.action == "ask":
            _ask(args, target, store, known, now_ms)
        else:
            _list(args, target, known)
    if unreadable:
        raise TargetError(f"{unreadable} stored batches could not be read: is there a newer linkview?")
    if broken := [each for each in found if isinstance(each, GapsError)]:
        raise TargetError(f"{broken[0]}{f' (and {len(broken) - 1} more)' if broken[1:] else ''}")
    return 0


def _scan(args: argparse.Namespace, target: Target, store: GapStore, names: list[str], now_ms: int) -> int:
    """Read the stored batches of the gateways; returns how many batches or items could not be read."""
    since_ms = max(display.moment(args.since, now_ms), now_ms - 3_650 * DAY_MS)
    reader = RollupStore(target.dynamodb(), target.output("ReadingsTable"), target.output("LatestTable"))
    unreadable = 0
    for name in watched(names, "reading gateways", len(names)):
        try:
            unreadable += gaps_scan.scan(store, reader.batches, name, since_ms, now_ms).unreadable
        except GapsError:
            # Said once, when it is to be shown.
            continue
    return unreadable


def _list(args: argparse.Namespace, target: Target, known: Sequence[Gaps]) -> None:
    rows = gaps_rows.rows(known)
    if args.json:
        display.print_json([gaps_rows.describe(row) for row in rows])
        return
    console = display.console()
    if not rows:
        console.print(f"no readings are known to be missing on {target.place}")
        return
    shown = rows[: args.limit] if args.limit else rows
    console.print(
        display.table(f"missing readings of {target.place}", _COLUMNS, [_cells(row) for row in shown])
    )
    display.more(console, len(rows) - len(shown))
    open_rows = [row for row in rows if not row.filled]
    unknown = sum(row.count for row in open_rows if row.reason == "unknown")
    console.print(
        f"{sum(row.count for row in open_rows):,} readings are missing, {unknown:,} for an unknown reason"
        + (": linkview gaps ask" if unknown else "")
    )


def _cells(row: Row) -> tuple[str, ...]:
    def when(at_ms: int | None) -> str:
        return display.NOTHING if at_ms is None else display.utc(at_ms)

    numbered = row.epoch is not None and row.first is not None
    return (
        row.gateway,
        f"{row.epoch:016x}" if row.epoch is not None else display.NOTHING,
        f"{row.first}–{row.first + row.count - 1}"
        if numbered and row.first is not None
        else "never numbered",
        f"{row.count:,}" if row.count else "?",
        row.reason,
        when(row.from_ms),
        when(row.until_ms),
        when(row.asked_ms),
        "yes" if row.filled else "no",
    )


def _ask(
    args: argparse.Namespace, target: Target, store: GapStore, known: Sequence[Gaps], now_ms: int
) -> None:
    # Whoever asks by hand has reasons: of any age, even if its gateway's clock was ahead.
    policy = Policy(MAX_MS, -MAX_MS, 0 if args.again else resend.HOUR_MS, args.most)
    asked: list[tuple[str, int, Hole]] = []
    wanting = [each for each in known if policy.due(each, now_ms)]
    publish = resend.over(target.iot_data()) if wanting and not args.dry_run else None
    for gaps in watched(wanting, "asking gateways", len(wanting)):
        if publish is None:
            holes = policy.due(gaps, now_ms)
        else:
            try:
                holes = resend.ask_gateway(
                    store, publish, gaps.gateway, lambda each: policy.due(each, now_ms), now_ms
                )
            except PublishError as exc:
                raise TargetError(f"{target.place}: {gaps.gateway} could not be asked: {exc}") from exc
        asked += ((gaps.gateway, epoch, hole) for epoch, hole in holes)
    _say_asked(args, asked)


def _say_asked(args: argparse.Namespace, asked: Sequence[tuple[str, int, Hole]]) -> None:
    if args.json:
        display.print_json([_describe_asked(*each) for each in asked])
        return
    console, verb = display.console(), "would be asked" if args.dry_run else "asked"
    for gateway, _, hole in asked:
        console.print(f"{gateway}  {verb} for {hole.first}–{hole.end - 1} ({hole.count:,} readings)")
    if not asked:
        console.print("there is nothing to ask for (what was asked for within the hour: --again)")


def _describe_asked(gateway: str, epoch: int, hole: Hole) -> dict[str, Any]:
    return {
        "gateway": gateway,
        "epoch": f"{epoch:016x}",
        "first_sequence": hole.first,
        "last_sequence": hole.end - 1,
        "count": hole.count,
    }


@contextmanager
def _failures(target: Target) -> Iterator[None]:
    """What the store raises, as one line for the user."""
    try:
        yield
    except (TransientError, RefusedError) as exc:
        raise TargetError(f"{target.place}: {exc}") from exc
