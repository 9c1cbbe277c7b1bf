"""`linkview history`: the readings of one link, as they were measured or by 5 minutes, hours or days."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from cloud import display, history_steps, queries
from cloud.buckets import Step
from cloud.columns import columns_of
from cloud.target import Target, TargetError, add_options, from_arguments
from edge_agent.contract import KINDS, Reading, describe_reading


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `history`."""
    parser = subparsers.add_parser("history", help="the readings of a link", description=__doc__)
    add_options(parser)
    parser.add_argument("link", metavar="LINK", help="link id")
    parser.add_argument("--gateway", metavar="NAME", help="needed when several gateways have such a link")
    parser.add_argument("--since", metavar="WHEN", default="1h", help="90s, 2d ago or ISO 8601 (%(default)s)")
    parser.add_argument("--until", metavar="WHEN", default="now", help="likewise (%(default)s)")
    parser.add_argument("--kind", choices=KINDS, help="one kind only (the table: the best there is)")
    parser.add_argument(
        "--step",
        choices=history_steps.STEP_NAMES,
        default=history_steps.AUTO,
        help="single readings, or figures of periods (auto: raw up to 6 hours, then 5m, 1h, 1d)",
    )
    parser.add_argument("--json", action="store_true", help="for machines: raw integers, units in the names")


def run(args: argparse.Namespace) -> int:
    """Print the readings of a link."""
    now_ms = time.time_ns() // 1_000_000
    since_ms, until_ms = display.period(args.since, args.until, now_ms)
    target = from_arguments(args)
    gateway = args.gateway or gateway_of(target, args.link)
    step = history_steps.step_of(args.step, since_ms, until_ms)
    if step:
        return _run_steps(args, target, gateway, since_ms, until_ms, step)
    with Console(stderr=True).status(f"reading {gateway}"):
        found = queries.history(target, gateway, since_ms, until_ms)
    readings = [each for each in found.readings if each.link == args.link and args.kind in (None, each.kind)]
    if not readings and args.gateway:
        _require_link(target, args.gateway, args.link)
    if args.json:
        display.print_json([describe(reading, gateway) for reading in readings])
    else:
        _print(readings, f"{args.link} of {gateway}", since_ms, until_ms)
    if found.unreadable:
        raise TargetError(f"{found.unreadable} stored batches could not be read: is there a newer linkview?")
    return 0


def _run_steps(
    args: argparse.Namespace, target: Target, gateway: str, since_ms: int, until_ms: int, step: Step
) -> int:
    """Print the figures of each period."""
    with Console(stderr=True).status(f"reading {gateway} by {step.name}"):
        rollups = queries.rollups(target, gateway, since_ms, until_ms, step)
        found = history_steps.of_link(rollups, args.link, args.kind)
    if not found and args.gateway:
        _require_link(target, args.gateway, args.link)
    if args.json:
        display.print_json([history_steps.describe(rollup, summary) for rollup, summary in found])
        return 0
    console, kinds = display.console(), history_steps.kinds(found)
    what = f"{args.link} of {gateway}"
    if not kinds:
        console.print(f"nothing of {what} from {display.utc(since_ms)} to {display.utc(until_ms)}")
        return 0
    console.print(history_steps.draw(found, kinds[0], f"{kinds[0]} of {what}, by {step.name}"))
    console.print("quantiles: of the rounds' medians, within 1 %", style="dim")
    if len(kinds) > 1:
        console.print(f"also there: --kind {' or '.join(kinds[1:])}", style="dim")
    return 0


def gateway_of(target: Target, link: str) -> str:
    """The one gateway that has the link; raises TargetError when none or several have it."""
    owners = [
        state.gateway
        for state in queries.latest_states(target)
        if link in {series.reading.link for series in state.series}
    ]
    if not owners:
        raise TargetError(f"no link {link} on {target.place}: see `linkview links`")
    if len(owners) > 1:
        raise TargetError(f"link {link} is on gateways {_listed(owners)}: name one with --gateway")
    return owners[0]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _require_link(target: Target, gateway: str, link: str) -> None:
    state = queries.latest_state(target, gateway)
    if state is None or link not in {series.reading.link for series in state.series}:
        raise TargetError(f"no link {link} of gateway {gateway} on {target.place}: see `linkview links`")


def _print(readings: Sequence[Reading], what: str, since_ms: int, until_ms: int) -> None:
    console = display.console()
    kinds = [kind for kind in KINDS if any(reading.kind == kind for reading in readings)]
    if not kinds:
        console.print(f"nothing of {what} from {display.utc(since_ms)} to {display.utc(until_ms)}")
        return
    columns = columns_of(kinds[0])
    cells = [[cell(each) for _, cell in columns] for each in readings if each.kind == kinds[0]]
    console.print(display.table(f"{kinds[0]} of {what}", [column for column, _ in columns], cells))
    if len(kinds) > 1:
        console.print(f"also there: --kind {' or '.join(kinds[1:])}", style="dim")


def describe(reading: Reading, gateway: str) -> dict[str, Any]:
    """A reading as JSON values."""
    return {"gateway": gateway, **describe_reading(reading)}
