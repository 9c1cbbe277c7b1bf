"""`linkview links`: every link with its state and figures, the worst first."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

from rich.table import Table

from cloud import display, fleet_names, mos, queries, ranking
from cloud.arguments import whole
from cloud.display import Column
from cloud.health import p50_us, tally
from cloud.link_quality import estimated_mos, rate_kbps, utilisation
from cloud.quarantine import notice
from cloud.queries import States
from cloud.ranking import LinkRow, State
from cloud.target import Target, add_options, from_arguments
from edge_agent.contract import Reading, describe_reading

SHOWN = 20
BUCKETS = 20
HOUR_MS = 3_600_000
_READERS = 8
_STYLES = {
    State.DOWN: "bold red",
    State.NO_DATA: "yellow",
    State.NOT_MEASURED: "yellow",
    State.DEGRADED: "yellow",
    State.UP: "green",
}
_COLUMNS = (
    Column("link", wraps=True),
    Column("gateway", wraps=True),
    Column("peer", wraps=True, spare=3),
    Column("medium", wraps=True, spare=4),
    Column("state", wraps=True),
    Column("age", right=True),
    Column("loss %", right=True),
    Column("p50 ms", right=True),
    Column("p95 / max ms", right=True, spare=1),
    Column("used %", right=True, spare=2),
    Column("MOS", right=True, spare=2),
    Column("p50, last hour", spare=2),
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `links`."""
    parser = subparsers.add_parser(
        "links",
        help="every link, the worst first",
        description="Every link with its state and figures. Worst first: down, then no data or not measured,"
        " then by loss, then by median time. State is up, degraded or down, as events tell it."
        " Loss is that of the batch last received. Used is the rate of the busier direction over the nominal"
        f" capacity in the registry. {mos.ASSUMPTIONS}.",
    )
    add_options(parser)
    parser.add_argument("--gateway", metavar="NAME", help="of this gateway only")
    parser.add_argument(
        "--limit", type=whole(0, 1_000_000), metavar="N", help=f"rows at most ({SHOWN}; 0 and --json: all)"
    )
    parser.add_argument("--sort", choices=ranking.SORTS, default="worst", help="%(default)s first by default")
    parser.add_argument("--json", action="store_true", help="for machines: raw integers, units in the names")


def run(args: argparse.Namespace) -> int:
    """Print the links."""
    target, now_ms = from_arguments(args), time.time_ns() // 1_000_000
    states = _states(target, args.gateway)
    if states.unreadable:
        display.warn(f"{len(states.unreadable)} gateways left out: {states.unreadable[0]}")
    found = ranking.ordered(ranking.rows(states, now_ms), args.sort)
    limit = args.limit if args.limit is not None else 0 if args.json else SHOWN
    shown = found[:limit] if limit else found
    if args.json:
        display.print_json([describe(row) for row in shown])
        return 0
    console = display.console()
    if not found:
        console.print(f"no links yet on {target.place}")
    else:
        console.print(draw(shown, recent(target, shown, now_ms), f"links of {target.place}"))
    display.more(console, len(found) - len(shown))
    notice(target, now_ms, console)
    return 0


def _states(target: Target, gateway: str | None) -> States:
    if gateway is None:
        return queries.latest_states(target)
    state = queries.latest_state(target, gateway)
    if state is None:
        fleet_names.require(target, gateway)
    return States((state,) if state else ())


def recent(target: Target, rows: Iterable[LinkRow], now_ms: int) -> Mapping[tuple[str, str], list[Reading]]:
    """The last hour of the kind that speaks for each shown link, by gateway and link."""
    wanted = {(row.gateway, row.link): row.speaker.reading.kind for row in rows}
    gateways = sorted({gateway for gateway, _ in wanted})
    found: dict[tuple[str, str], list[Reading]] = {}
    target.dynamodb()
    with ThreadPoolExecutor(_READERS) as pool:
        histories = pool.map(
            lambda gateway: queries.history(target, gateway, now_ms - HOUR_MS, now_ms + 1), gateways
        )
        for gateway, history in zip(gateways, histories, strict=True):
            for reading in history.readings:
                if wanted.get((gateway, reading.link)) == reading.kind:
                    found.setdefault((gateway, reading.link), []).append(reading)
    return found


def trend(readings: Sequence[Reading], now_ms: int) -> str:
    """A sparkline of the median time over the last hour, a character for each three minutes."""
    buckets: list[list[Reading]] = [[] for _ in range(BUCKETS)]
    for reading in readings:
        index = (reading.at_ms - (now_ms - HOUR_MS)) * BUCKETS // HOUR_MS
        buckets[min(max(index, 0), BUCKETS - 1)].append(reading)
    times = [[time for time in map(p50_us, bucket) if time is not None] for bucket in buckets]
    lost = [any(counted.lost for counted in map(tally, bucket) if counted) for bucket in buckets]
    return display.sparkline([median(each) if each else None for each in times], lost)


def draw(
    rows: Sequence[LinkRow],
    history: Mapping[tuple[str, str], Sequence[Reading]],
    title: str,
    now_ms: int | None = None,
    width: int | None = None,
) -> Table:
    """The rows as a table; links without history have no sparkline."""
    now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    cells = [_cells(row, history.get((row.gateway, row.link), ()), now_ms) for row in rows]
    return display.table(title, _COLUMNS, cells, width)


def _cells(row: LinkRow, history: Sequence[Reading], now_ms: int) -> tuple[str, ...]:
    state = _why(row) if row.state is State.NOT_MEASURED else row.state.value
    return (
        row.link,
        row.gateway,
        display.clean(row.peer),
        display.clean(row.medium),
        f"[{_STYLES[row.state]}]{state}[/]",
        display.age(row.age_ms),
        display.percent(row.speaker.lost, row.speaker.sent),
        display.milliseconds(row.p50_us),
        f"{display.milliseconds(row.p95_us)} / {display.milliseconds(row.max_us)}",
        _figure(utilisation(row), 100),
        _figure(estimated_mos(row)),
        trend(history, now_ms),
    )


def _figure(value: float | None, scale: float = 1) -> str:
    return display.NOTHING if value is None else f"{value * scale:.1f}"


def _why(row: LinkRow) -> str:
    outcome = row.speaker.reading.outcome
    return f"not measured: {outcome.name.lower().replace('_', ' ')}" if outcome else "not measured"


def describe(row: LinkRow) -> dict[str, Any]:
    """A row as JSON values: integers as stored, null where nothing was measured."""
    return {
        "link": row.link,
        "gateway": row.gateway,
        "peer": row.peer,
        "medium": row.medium,
        "state": row.state.value,
        "since_ms": row.since_ms,
        "site": row.place.site,
        "region": row.place.region,
        "latitude": row.place.latitude,
        "longitude": row.place.longitude,
        "capacity_kbps": row.capacity_kbps,
        "rate_kbps": rate_kbps(row),
        "utilisation": None if (used := utilisation(row)) is None else round(used, 4),
        "mos": None if (score := estimated_mos(row)) is None else round(score, 2),
        "age_ms": row.age_ms,
        "kind": row.speaker.reading.kind,
        "sent": row.speaker.sent,
        "lost": row.speaker.lost,
        "p50_us": row.p50_us,
        "p95_us": row.p95_us,
        "max_us": row.max_us,
        "readings": [describe_reading(reading) for reading in row.readings],
    }
