"""`linkview availability`: how long each link was up, degraded, down or unknown in a month.

From rollups of 5 minutes, or of hours for months longer ago than those are kept. Unknown is time without
a reading that tells up from down: it is no down time, and the share that was available leaves it out.
"""

from __future__ import annotations

import argparse
import math
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cloud import display, queries
from cloud.buckets import FINE, HOUR, Step
from cloud.display import Column
from cloud.fleet_names import gateways, require
from cloud.keys import DAY_MS
from cloud.target import Target, TargetError, add_options, from_arguments
from cloud.uptime import Month, Uptime

FINE_DAYS = 33
"""Days for which 5-minute rollups surely are there: the template keeps them for 35."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `availability`."""
    parser = subparsers.add_parser(
        "availability", help="up, down and unknown time of links in a month", description=__doc__
    )
    add_options(parser)
    parser.add_argument("--month", metavar="YYYY-MM", help="UTC (this month)")
    parser.add_argument("--link", metavar="LINK", help="one link only")
    parser.add_argument("--gateway", metavar="NAME", help="one gateway only")
    parser.add_argument(
        "--degraded",
        type=_percent,
        default=2.0,
        metavar="PERCENT",
        help="loss that makes a link degraded (%(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="for machines: raw integers, units in the names")


def run(args: argparse.Namespace) -> int:
    """Print the month of each link."""
    now_ms = time.time_ns() // 1_000_000
    name = args.month or f"{datetime.fromtimestamp(now_ms / 1000, UTC):%Y-%m}"
    since_ms, end_ms = month(name)
    if since_ms >= now_ms:
        raise TargetError(f"{name} has not begun yet", 2)
    until_ms = min(end_ms, now_ms)
    step = FINE if now_ms - since_ms < FINE_DAYS * DAY_MS else HOUR
    target = from_arguments(args)
    names = [args.gateway] if args.gateway else gateways(target)
    found = _gather(target, names, since_ms, until_ms, step, args.degraded / 100)
    if args.gateway and not found:
        require(target, args.gateway)
    if args.link:
        found = [each for each in found if each.link == args.link]
        if not found:
            of = f" of {args.gateway}" if args.gateway else ""
            raise TargetError(f"nothing of link {args.link}{of} in {name} on {target.place}")
    if args.json:
        display.print_json([describe(each, name, step) for each in found])
    else:
        _print(found, name, until_ms - since_ms, step)
    return 0


def month(text: str) -> tuple[int, int]:
    """First moment of a month and of the next, ms; raises TargetError for anything but YYYY-MM."""
    found = re.fullmatch(r"(20[2-9]\d)-(0[1-9]|1[0-2])", text)
    if not found:
        raise TargetError(f"{text!r} is no month: give one such as 2026-11", 2)
    year, number = int(found[1]), int(found[2])
    following = (year, number + 1) if number < 12 else (year + 1, 1)
    first, last = (datetime(*each, 1, tzinfo=UTC) for each in ((year, number), following))
    return int(first.timestamp() * 1000), int(last.timestamp() * 1000)


def _gather(
    target: Target, names: Sequence[str], since_ms: int, until_ms: int, step: Step, degraded: float
) -> list[Uptime]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    days = range(since_ms, until_ms, DAY_MS)
    found = []
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=len(names) * len(days))
        for gateway in names:
            progress.update(task, description=gateway)
            gathered = Month(gateway, step, since_ms, until_ms, degraded)
            for day in days:
                for rollup in queries.rollups(target, gateway, day, min(day + DAY_MS, until_ms), step):
                    gathered.add(rollup)
                progress.advance(task)
            found += gathered.uptimes()
    return found


def describe(uptime: Uptime, name: str, step: Step) -> dict[str, Any]:
    """A link's month as JSON values."""
    return {
        "month": name,
        "gateway": uptime.gateway,
        "link": uptime.link,
        "up_ms": uptime.up_ms,
        "degraded_ms": uptime.degraded_ms,
        "down_ms": uptime.down_ms,
        "unknown_ms": uptime.unknown_ms,
        "available": uptime.available,
        "resolution_ms": step.length_ms,
    }


def _print(found: Sequence[Uptime], name: str, passed_ms: int, step: Step) -> None:
    console = display.console()
    if not found:
        console.print(f"nothing in {name}")
        return
    columns = [
        Column("link", wraps=True),
        Column("gateway", wraps=True),
        Column("available %", right=True),
        Column("up", right=True),
        Column("degraded", right=True),
        Column("down", right=True),
        Column("unknown", right=True),
        Column("known %", right=True, spare=1),
    ]
    # The least available first; what nothing is known of, last.
    order = sorted(found, key=lambda each: (2.0 if each.available is None else each.available, each.link))
    rows = [_row(each, passed_ms) for each in order]
    console.print(display.table(f"{name}: {_hours(passed_ms)} of the month", columns, rows))
    console.print(
        f"h:mm, by {step.name}; unknown is time without readings, and no part of available %", style="dim"
    )


def _row(uptime: Uptime, passed_ms: int) -> list[str]:
    return [
        display.clean(uptime.link),
        display.clean(uptime.gateway),
        display.NOTHING if uptime.available is None else _share(uptime.available),
        *map(_hours, (uptime.up_ms, uptime.degraded_ms, uptime.down_ms, uptime.unknown_ms)),
        display.percent(uptime.known_ms, passed_ms),
    ]


def _share(part: float) -> str:
    """Per cent to three decimals, never rounded up to 100."""
    return f"{math.floor(part * 100_000) / 1000:.3f}"


def _hours(milliseconds: int) -> str:
    hours, minutes = divmod(round(milliseconds / 60_000), 60)
    return f"{hours:,}:{minutes:02}"


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 < value <= 100:
        raise argparse.ArgumentTypeError("must be over 0 and up to 100 per cent")
    return value
