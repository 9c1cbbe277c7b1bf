"""`linkview gateways`: the gateways, when each was last heard and what it has sent."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cloud import display, enrol, queries
from cloud.cells import dropped
from cloud.display import Column
from cloud.latest import Latest
from cloud.quarantine import notice
from cloud.queries import Enrolment
from cloud.ranking import OF_GATEWAY
from cloud.target import Target, add_options, from_arguments
from edge_agent.contract import Outcome, Reading, describe_reading
from edge_agent.contract.texts import throttles_of

_COLUMNS = (
    Column("gateway", wraps=True),
    Column("site", wraps=True, spare=3),
    Column("enrolled", spare=4),
    Column("last seen"),
    Column("age", right=True),
    Column("links", right=True),
    Column("health", wraps=True, spare=1),
    Column("readings in epoch", right=True, spare=2),
    Column("epoch", spare=5),
    Column("way in", spare=1),
    Column("quarantined today", right=True, spare=1),
)


@dataclass(frozen=True, slots=True)
class GatewayRow:
    """One gateway: enrolled, heard of, or both."""

    gateway: str
    enrolment: Enrolment | None
    state: Latest | None
    quarantined: int

    @property
    def links(self) -> int:
        """Links that it has ever measured."""
        series = self.state.series if self.state else ()
        return len({each.reading.link for each in series if each.reading.kind not in OF_GATEWAY})

    @property
    def host(self) -> Reading | None:
        """Its latest reading of itself."""
        return self._latest("host")

    @property
    def agent(self) -> Reading | None:
        """What its agent last said of itself."""
        return self._latest("agent")

    def _latest(self, kind: str) -> Reading | None:
        series = self.state.series if self.state else ()
        return next((each.reading for each in series if each.reading.kind == kind), None)

    @property
    def site(self) -> str:
        """Where it stands."""
        return (self.enrolment.site if self.enrolment else "") or (self.state.site if self.state else "")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `gateways`, with `list`, `add` and `remove`."""
    parser = subparsers.add_parser("gateways", help="list, enrol and remove gateways", description=__doc__)
    _add_listing(parser)
    actions = parser.add_subparsers(dest="action", metavar="list|add|remove")
    _add_listing(actions.add_parser("list", help="the gateways (the default)"))
    enrol.add_parser(actions)
    for name in ("add", "remove"):
        add_options(actions.choices[name])


def _add_listing(parser: argparse.ArgumentParser) -> None:
    add_options(parser)
    parser.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="for machines: units in the names"
    )


def run(args: argparse.Namespace) -> int:
    """Print the gateways, or do what `add` and `remove` say."""
    if args.action in ("add", "remove"):
        return enrol.run(args)
    target, now_ms = from_arguments(args), time.time_ns() // 1_000_000
    found = rows(target, now_ms)
    if getattr(args, "json", False):
        display.print_json([describe(row) for row in found])
        return 0
    console = display.console()
    if not found:
        console.print(f"no gateways yet on {target.place}: `linkview gateways add NAME` enrols one")
    else:
        cells = [_cells(row, now_ms) for row in found]
        console.print(display.table(f"gateways of {target.place}", _COLUMNS, cells))
    notice(target, now_ms, console)
    return 0


def rows(target: Target, now_ms: int) -> list[GatewayRow]:
    """Every gateway that is enrolled or was ever heard, by name."""
    known = queries.latest_states(target)
    if known.unreadable:
        display.warn(f"{len(known.unreadable)} latest states left out: {known.unreadable[0]}")
    states = {state.gateway: state for state in known}
    enrolments: Mapping[str, Enrolment] = {each.gateway: each for each in queries.enrolments(target)}
    counts = queries.quarantine_counts(target, now_ms)
    return [
        GatewayRow(name, enrolments.get(name), states.get(name), counts[name])
        for name in sorted(states.keys() | enrolments.keys())
    ]


def _cells(row: GatewayRow, now_ms: int) -> tuple[str, ...]:
    added = row.enrolment.added_ms if row.enrolment else None
    head = (
        row.gateway,
        display.clean(row.site),
        display.NOTHING if added is None else display.utc(added),
    )
    if row.state is None:
        heard: tuple[str, ...] = (display.NOTHING,) * 7
    else:
        heard = (
            display.utc(row.state.rx_ms),
            display.age(now_ms - row.state.rx_ms),
            str(row.links),
            _health(row.host, row.agent),
            f"{row.state.readings:,}",
            f"{row.state.newest.epoch:016x}"[:8],
            "direct" if row.state.direct else "MQTT",
        )
    return *head, *heard, str(row.quarantined)


def _health(host: Reading | None, agent: Reading | None) -> str:
    """How hot and how busy a gateway is, what holds it back, and what waits or was lost in it."""
    parts = [*_of_host(host), *_of_agent(agent)]
    return ", ".join(filter(None, parts)) or display.NOTHING


def _of_host(host: Reading | None) -> list[str]:
    if host is None or host.outcome is not Outcome.MEASURED:
        return []
    cpu, heat = host["cpu_permille"], host["temperature_ck"]
    return [
        "" if cpu is None else f"CPU {cpu / 10:.0f} %",
        "" if heat is None else f"{heat / 100 - 273.15:.0f} °C",
        *throttles_of(host),
    ]


def _of_agent(agent: Reading | None) -> list[str]:
    if agent is None or agent.outcome is not Outcome.MEASURED:
        return []
    used, bound, oldest = agent["spool_kib"], agent["spool_max_kib"], agent["oldest_s"]
    lost = dropped(agent)
    return [
        f"spool {100 * used / bound:.0f} %" if used is not None and bound else "",
        "" if oldest is None else f"oldest {display.age(oldest * 1000)}",
        "" if lost in ("0", display.NOTHING) else f"{lost} dropped",
        "clock not synchronised" if agent["clock_error_us"] is None else "",
    ]


def describe(row: GatewayRow) -> dict[str, Any]:
    """A row as JSON values; null for what a gateway that was never heard has not said."""
    state = row.state
    return {
        "gateway": row.gateway,
        "site": row.site,
        "added_ms": row.enrolment.added_ms if row.enrolment else None,
        "last_seen_ms": state.rx_ms if state else None,
        "links": row.links,
        "readings_in_epoch": state.readings if state else None,
        "epoch": f"{state.newest.epoch:016x}" if state else None,
        "direct": state.direct if state else None,
        "host": describe_reading(row.host) if row.host else None,
        "agent": describe_reading(row.agent) if row.agent else None,
        "quarantined_today": row.quarantined,
    }
