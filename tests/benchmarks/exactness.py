"""A million readings under faults: are chunks, latest states, gaps and rollups equal to a recomputation?

The audit does the comparison: code of its own over what the fleet generated. LINKPULSE_READINGS makes the
run smaller, LINKPULSE_SEED another one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cloud import gaps_item
from cloud.audit_compare import Report, Tables, compare, item_of
from cloud.audit_ledger import Ledger, Row
from edge_agent.contract import Batch
from infrastructure.local.faults import PREFIX, Fault
from tests.benchmarks import paired
from tests.benchmarks.exactness_fleet import GATEWAYS, MINUTE_MS, NEVER, READINGS, Fleet
from tests.benchmarks.exactness_world import RATES, World

MOST_READINGS = 1_000_000
MIDNIGHT_MS = 1_795_219_200_000
"""A midnight (UTC) in the middle of the run, so that hours and days close meanwhile."""
SETTLE_MS = 6 * 3_600_000
"""Longest delay of a batch, an hour until a hole is asked for, and the passes after that."""
NAIVE = "count each delivery"


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a run."""

    report: Report
    world: World
    fleet: Fleet
    now_ms: int
    """When the fleet made its last readings."""
    asked: int
    """Requests to send again."""
    gaps_missed: int
    """Numbers that never came and are no gap, or the other way round."""

    @property
    def differences(self) -> list[str]:
        """All that is not exact, in words."""
        report, found = self.report, []
        found += [f"{count} readings {name}" for name, count in report.counts.items() if count]
        found += [f"{each.p} / {each.s}: {each.reason}" for each in report.faults]
        found += [
            f"{check.what}: {each.name}: {each.detail}"
            for check in report.checks
            for each in check.differences
        ]
        found += [f"{check.open} {check.what} were not compared" for check in report.checks if check.open]
        if self.gaps_missed:
            found.append(f"{self.gaps_missed} numbers are wrongly missing or wrongly not")
        if self.world.discarded:
            found.append(f"{self.world.discarded} records were discarded")
        if quarantined := sum(1 for _ in self.world.tables.tables["quarantine"].items()):
            found.append(f"{quarantined} records are quarantined")
        return found


def rows() -> list[paired.Row]:
    """Differences after a million readings, beside what a counter in the function would be off by."""
    readings = int(os.environ.get("LINKPULSE_READINGS", MOST_READINGS))
    found = run(readings, int(os.environ.get("LINKPULSE_SEED", "1")))
    for line in found.differences[:20]:
        print(f"exactness: {line}", file=sys.stderr)
    world, what = found.world, f"exactness, {readings:,} readings"
    drift = abs(world.handed_over - found.fleet.accepted)
    compared = sum(check.compared for check in found.report.checks)
    injected = sum(count for name, count in world.counts.items() if name.startswith(PREFIX))
    return [
        paired.Row(what, "differences", len(found.differences), drift, NAIVE, most=0),
        paired.Row("... states, rollups, gaps", "compared", compared, injected, "faults injected"),
    ]


def run(
    readings: int,
    seed: int,
    rates: Mapping[Fault, float] = RATES,
    gateways: int = GATEWAYS,
    never: float = NEVER,
    ledger: Ledger | None = None,
) -> Run:
    """Let a fleet measure, everything arrive, and compare."""
    minutes = readings // (gateways * READINGS)
    start_ms = MIDNIGHT_MS - minutes // 2 * MINUTE_MS
    fleet = Fleet(seed, start_ms, readings, gateways, never)
    world = World(seed, start_ms - MINUTE_MS, rates)
    ledger, end_ms, asked = ledger or Ledger(), start_ms, 0
    for end_ms, batches, deliveries in fleet.minutes():
        ledger.add_generated(row for batch in batches for row in rows_of(batch))
        world.send(deliveries)
        world.run_until(end_ms)
        asked += _answer(fleet, world, ledger)
    until_ms = end_ms
    midnight_ms = (end_ms // 86_400_000 + 1) * 86_400_000
    while until_ms < max(midnight_ms + 3_600_000, end_ms + SETTLE_MS):
        until_ms += 300_000
        world.run_until(until_ms)
        asked += _answer(fleet, world, ledger)
    return Run(audit(ledger, world, end_ms), world, fleet, end_ms, asked, _gaps_missed(fleet, world))


def _answer(fleet: Fleet, world: World, ledger: Ledger) -> int:
    """Let the gateways send again what they were asked for; how many requests there were."""
    count = len(world.requests)
    while world.requests:
        for batch, again in fleet.answer(*world.requests.pop(), world.now_ms):
            ledger.add_generated(rows_of(batch))
            world.send([again])
    return count


def audit(ledger: Ledger, world: World, now_ms: int) -> Report:
    """The audit's report on the tables."""
    tables = world.tables.tables
    readings = (item_of(item) for item in tables["readings"].items())
    return compare(ledger, Tables(readings, [*tables["latest"].items()], now_ms))


def rows_of(batch: Batch) -> Iterator[Row]:
    """The readings of a batch as the audit's truth."""
    for each in batch.readings:
        content = (int(each.flags), int(each.outcome), *each.values)
        yield batch.gateway, each.link, each.kind, each.at_ms, repr(content)


def _gaps_missed(fleet: Fleet, world: World) -> int:
    """Numbers of which the table says wrongly that they are missing, or that they are not."""
    said: set[tuple[str, int]] = set()
    for item in world.tables.tables["readings"].items():
        if item["p"]["S"].startswith("H#"):
            gaps = gaps_item.parse(item).gaps
            said |= {
                (gaps.gateway, number) for _, hole in gaps.missing() for number in range(hole.first, hole.end)
            }
    ranges = [(gateway, *each) for gateway, lost in fleet.gone.items() for each in lost]
    # A request that a crash swallowed is made again with the next data; the end of a run has none.
    for (gateway, first), batch in fleet.withheld.items():
        ranges.append((gateway, first, first + len(batch.readings)))
    gone = {(gateway, number) for gateway, first, end in ranges for number in range(first, end)}
    return len(said ^ gone)
