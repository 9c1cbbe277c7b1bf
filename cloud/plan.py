"""`linkview plan`: what a fleet needs of AWS and what it costs a month, the naive design beside it.

Nothing is asked of AWS: sizes are measured by packing readings as gateways do, prices come from a dated
list that --prices replaces. Free tiers and volume discounts are left out.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from cloud import display, plan_model, plan_naive, plan_prices, plan_sizes
from cloud.arguments import whole
from cloud.display import Column
from cloud.plan_fleet import PROVISIONED, STREAMS, Fleet, Line, Needs, Plan
from cloud.plan_prices import Prices
from cloud.plan_sizes import Sizes

DESIGNS = ("Linkpulse", "naive", "naive, usual extras")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The plans of one fleet, in the order of DESIGNS."""

    fleet: Fleet
    sizes: Sizes
    prices: Prices
    plans: tuple[Plan, Plan, Plan]


def compare(fleet: Fleet, prices: Prices) -> Comparison:
    """Plan a fleet in each design."""
    sizes = plan_sizes.measure(fleet.links, fleet.interval_s, fleet.batch_s)
    naive = plan_naive.plan(fleet, sizes, prices), plan_naive.plan(fleet, sizes, prices, extras=True)
    return Comparison(fleet, sizes, prices, (plan_model.plan(fleet, sizes, prices), *naive))


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `plan`."""
    parser = subparsers.add_parser("plan", help="needs and monthly bill of a fleet", description=__doc__)
    parser.add_argument("--gateways", type=whole(1, 10_000_000), default=1_000, metavar="N")
    parser.add_argument("--links", type=whole(1, 500), default=10, metavar="N", help="links of a gateway")
    parser.add_argument(
        "--interval", type=_seconds(0.1, 86_400), default=10.0, metavar="TIME", help="between readings (10s)"
    )
    parser.add_argument(
        "--batch", type=_seconds(1, 3_600), default=60.0, metavar="TIME", help="between batches (1m)"
    )
    parser.add_argument(
        "--retention", type=whole(2, 3_650), default=30, metavar="DAYS", help="of readings (%(default)s)"
    )
    parser.add_argument("--stream", choices=STREAMS, default=PROVISIONED, help="mode of the Kinesis stream")
    parser.add_argument(
        "--prices", type=Path, default=plan_prices.SHIPPED, metavar="FILE", help="your prices"
    )
    parser.add_argument("--region", metavar="LABEL", help="what to call the prices' region")
    parser.add_argument("--json", action="store_true", help="for machines: unrounded, US dollars a month")


def run(args: argparse.Namespace) -> int:
    """Print the plan."""
    prices = plan_prices.load(args.prices)
    fleet = Fleet(args.gateways, args.links, args.interval, args.batch, args.retention, args.stream)
    with Console(stderr=True).status("packing a sample of readings"):
        found = compare(fleet, prices)
    if args.json:
        display.print_json(describe(found, args.region))
    else:
        _print(found, args.region)
    return 0


def describe(found: Comparison, region: str | None = None) -> dict[str, Any]:
    """The plans as JSON values; times in seconds, sizes in bytes unless the name says otherwise."""
    return {
        "fleet": {**asdict(found.fleet), "readings_month": found.fleet.readings},
        "prices": {"date": found.prices.date.isoformat(), "region": region or found.prices.region},
        "sizes": asdict(found.sizes),
        "designs": {
            name: {
                "usd_per_million_readings": plan.per_million,
                "usd_month": plan.variable_usd,
                "usd_month_fixed": plan.fixed_usd,
                "lines": [asdict(line) for line in plan.lines],
                "needs": asdict(plan.needs),
            }
            for name, plan in zip(DESIGNS, found.plans, strict=True)
        },
    }


# --- for people -----------------------------------------------------------------------------------


def _print(found: Comparison, region: str | None) -> None:
    console, fleet, sizes = display.console(), found.fleet, found.sizes
    every = f"a reading of each every {_time(fleet.interval_s)}, a batch every {_time(fleet.batch_s)}"
    console.print(f"{fleet.gateways:,} gateways of {fleet.links} links, {every}")
    console.print(
        f"{fleet.readings_s:,.0f} readings/s, {fleet.readings / 1e6:,.0f} million a month, kept "
        f"{fleet.retention_days} days; {sizes.readings:.0f} in a message of {sizes.message:,.0f} B\n"
    )
    console.print(_needs_table(found))
    console.print(_bill_table(found, region or found.prices.region))
    ours, naive, extras = (plan.per_million for plan in found.plans)
    told = f"${ours:.4f} per million readings, against ${naive:.2f} to ${extras:.2f}"
    console.print(f"{told}: {naive / ours:.0f} to {extras / ours:.0f} times cheaper", style="bold green")
    console.print(
        "list prices, a month of 730 hours, without free tiers and discounts; the bill is that of a fleet "
        "that has run for as long as its data are kept",
        style="dim",
    )
    if region and region != found.prices.region and found.prices == plan_prices.load():
        console.print(
            f"the prices are those of {found.prices.region}: give {region}'s with --prices", style="yellow"
        )


_NEEDS: Sequence[tuple[str, Callable[[Needs], str]]] = (
    ("messages/s", lambda needs: f"{needs.messages_s:,.1f}"),
    ("Kinesis shards (provisioned, with room for a backlog)", lambda needs: f"{needs.shards:,}"),
    ("batches of a shard at once (ParallelizationFactor)", lambda needs: f"{needs.parallelization:,}"),
    ("Lambda concurrency", lambda needs: f"{needs.concurrency:,}"),
    ("rollup schedules that share the gateways", lambda needs: f"{needs.passes:,}" if needs.passes else "–"),
    ("DynamoDB write units/s", lambda needs: f"{needs.writes_s:,.1f}"),
    ("DynamoDB read units/s", lambda needs: f"{needs.reads_s:,.1f}"),
    ("DynamoDB storage GB", lambda needs: f"{needs.stored_gb:,.1f}"),
)


def _needs_table(found: Comparison) -> Any:
    columns = [Column("needs"), *(Column(name, right=True) for name in DESIGNS)]
    rows = [[name, *(cell(plan.needs) for plan in found.plans)] for name, cell in _NEEDS]
    return display.table("", columns, rows)


def _bill_table(found: Comparison, region: str) -> Any:
    columns = [
        Column("US dollars a month"),
        Column("amount", right=True, spare=2),
        Column("unit", spare=1),
        *(Column(name, right=True) for name in DESIGNS),
    ]
    named = [{line.name: line for line in plan.lines} for plan in found.plans]
    names = list(dict.fromkeys(line.name for plan in found.plans for line in plan.lines))
    rows = [_row(name, [lines.get(name) for lines in named]) for name in names if not _fixed(name, named)]
    rows.append(_sum_row("without fixed fees", [plan.variable_usd for plan in found.plans]))
    rows += [_row(name, [lines.get(name) for lines in named]) for name in names if _fixed(name, named)]
    rows.append(_sum_row("fixed fees", [plan.fixed_usd for plan in found.plans]))
    rows.append(_sum_row("a month", [plan.variable_usd + plan.fixed_usd for plan in found.plans]))
    million = (f"[bold]{plan.per_million:,.4f}[/]" for plan in found.plans)
    rows.append(["[bold]a million readings, without fixed fees[/]", "", "", *million])
    return display.table(f"prices of {display.clean(region)}, {found.prices.date}", columns, rows)


def _fixed(name: str, named: Sequence[dict[str, Line]]) -> bool:
    return any(lines[name].fixed for lines in named if name in lines)


def _row(name: str, lines: Sequence[Line | None]) -> list[str]:
    ours = lines[0]
    amount = [f"{ours.quantity:,.0f}" if ours.quantity else "", ours.unit] if ours else ["", ""]
    return [name, *amount, *(f"{line.usd:,.2f}" if line else display.NOTHING for line in lines)]


def _sum_row(name: str, amounts: Sequence[float]) -> list[str]:
    return [f"[bold]{name}[/]", "", "", *(f"[bold]{amount:,.2f}[/]" for amount in amounts)]


def _time(seconds: float) -> str:
    return next(
        (
            f"{seconds / size:g} {unit}"
            for unit, size in reversed(_SECONDS.items())
            if seconds >= size and seconds % size == 0
        ),
        f"{seconds:g} s",
    )


# --- the command line -----------------------------------------------------------------------------


_TIME = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*(ms|[smhd]?)")


def _seconds(low: float, high: float) -> Callable[[str], float]:
    """A time such as 500ms, 10s, 1m or 1h, within bounds; a bare number is seconds."""

    def parse(text: str) -> float:
        found = _TIME.fullmatch(text.strip())
        seconds = float(found[1]) * {"ms": 1e-3, "": 1, **_SECONDS}[found[2]] if found else math.nan
        if not low <= seconds <= high:
            raise argparse.ArgumentTypeError(
                f"{text!r} is no time from {_time(low)} to {_time(high)}, as 10s"
            )
        return seconds

    return parse
