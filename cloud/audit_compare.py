"""The audit's comparison: truth files on one side, all items of the Readings table on the other."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloud import keys
from cloud.audit_check import Check
from cloud.audit_gaps import StoredGaps
from cloud.audit_graph import StoredGraph
from cloud.audit_items import Fault, Item, Survey
from cloud.audit_latest import LatestStates
from cloud.audit_ledger import VERDICTS, Ledger, Offence, Row, Verdict
from cloud.audit_links import LinkStates
from cloud.audit_rollups import StoredRollups
from cloud.audit_wire import StoredBatch, WireError, content_of, moment_of, name_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

SHOWN = 20
"""Offending readings and items that are named; all are counted."""
POLL_S = 1.0


class TruthError(Exception):
    """The truth files cannot be read as such; the message names the file and line."""


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of one comparison."""

    gateways: int
    generated: int
    stored: int
    items: int
    counts: dict[Verdict, int]
    offences: tuple[Offence, ...]
    faults: tuple[Fault, ...]
    fault_count: int
    checks: tuple[Check, ...]
    """Of what is made from the readings."""

    @property
    def exact(self) -> bool:
        """Every reading exactly once, no item that contradicts itself, all else as recomputed."""
        differs = any(each.differences for each in self.checks)
        return not (self.fault_count or any(self.counts.values()) or differs)

    @property
    def may_heal(self) -> bool:
        """Whether something is not there yet."""
        return bool(self.counts["missing"]) or any(each.heals for each in self.checks)


@dataclass(frozen=True, slots=True)
class Tables:
    """What is read from the cloud for one comparison."""

    readings: Iterable[Item]
    latest: Iterable[Mapping[str, Any]] | None = None
    """Read before the readings; None when latest states are not to be compared."""
    now_ms: int = 0


def truth(files: Iterable[Path]) -> Iterator[Row]:
    """The readings of truth files, JSON lines; raises TruthError for a line that is no reading."""
    for file in files:
        try:
            with file.open("rb") as lines:
                yield from _truth_lines(file, lines)
        except OSError as error:
            raise TruthError(f"{file}: {error.strerror}") from error


def _truth_lines(file: Path, lines: Iterable[bytes]) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):  # its writer was ended in the middle of the line
            print(f"{file}:{number}: cut off, ignored", file=sys.stderr)
            return
        try:
            given = json.loads(line)
            content = repr(content_of(given))
            gateway, link = sys.intern(name_of(given["gateway"])), name_of(given["link"])
            yield gateway, link, given["kind"], moment_of(given["at_ms"]), content
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            reason = str(error) if isinstance(error, WireError) else "not a reading"
            raise TruthError(f"{file}:{number}: {reason}") from error


def compare(ledger: Ledger, tables: Tables) -> Report:
    """Compare the generated readings of the ledger with all items of the tables."""
    spans = ledger.spans()
    states, rollups = LatestStates(spans, tables.now_ms), StoredRollups(spans)
    gaps, graph = StoredGaps(spans, rollups.standing), StoredGraph(states.states)
    states.take(dict(each) for each in tables.latest or ())

    def see(batch: StoredBatch) -> None:
        for each in (states, rollups, gaps):
            each.see(batch)

    def take(item: Mapping[str, Any]) -> bool:
        return any(each.take(dict(item)) for each in (rollups, gaps, graph))

    survey = Survey(spans, see, take)
    ledger.replace_stored(survey.rows(tables.readings))
    counts = dict.fromkeys(VERDICTS, 0)
    shown: list[Offence] = []
    for offence in ledger.offences():
        counts[offence.verdict] += 1
        if len(shown) < SHOWN:
            shown.append(offence)
    checks = [rollups.compare(ledger.rows()), gaps.compare()]
    if tables.latest is not None:
        made = _of_batches(ledger, survey, LinkStates(states.states), graph)
        checks = [states.compare(ledger.is_stored), *made, *checks]
    generated, stored = ledger.sizes()
    named, faults = tuple(shown), tuple(survey.faults[:SHOWN])
    return Report(
        len(spans), generated, stored, survey.items, counts, named, faults, len(survey.faults), tuple(checks)
    )


def _of_batches(ledger: Ledger, survey: Survey, links: LinkStates, graph: StoredGraph) -> list[Check]:
    """What is compared batch by batch, a gateway at a time."""
    graph.read()
    gateways = set()
    for gateway, rows in ledger.batches():
        gateways.add(gateway)
        batches = [StoredBatch(gateway, *survey.batches[number], readings) for number, readings in rows]
        links.compare(gateway, batches)
        graph.compare(gateway, batches)
    return [links.check, graph.finish(ledger.spans().keys() - gateways)]


def settle(
    ledger: Ledger,
    scan: Callable[[], Tables],
    seconds: float,
    tell: Callable[[Report], None] = lambda report: None,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Report:
    """Compare again and again until nothing is missing (only that heals) or the seconds are over."""
    end = monotonic() + seconds
    while True:
        began = monotonic()
        report = compare(ledger, scan())
        now = monotonic()
        if not report.may_heal or now >= end:
            return report
        tell(report)
        # A scan of a large table costs read units and time: spend at most half of the wait on it.
        sleep(min(max(POLL_S, now - began), end - now))


def read_tables(database: DynamoDBClient, readings: str, latest: str, now_ms: int) -> Tables:
    """All that the tables hold: the latest states at once, the readings while they are compared."""
    states = [*_scan(database, latest)]
    return Tables((item_of(each) for each in _scan(database, readings)), states, now_ms)


def item_of(given: Mapping[str, Any]) -> Item:
    """An item of the Readings table."""
    place = given["p"]["S"], given["s"]["S"]
    if not keys.is_chunk(place[0]):
        return Item(*place, b"", given)
    return Item(*place, bytes(given.get("b", {}).get("B", b"")))


def _scan(database: DynamoDBClient, table: str) -> Iterator[Mapping[str, Any]]:
    """Every item, read consistently, page by page."""
    for page in database.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        yield from page["Items"]
