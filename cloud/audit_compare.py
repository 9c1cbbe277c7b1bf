"""The audit's comparison: truth files on one side, all items of the Readings table on the other."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cloud.audit_items import Fault, Item, Survey
from cloud.audit_ledger import VERDICTS, Ledger, Offence, Row, Verdict
from cloud.audit_wire import WireError, content_of, moment_of, name_of

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

    @property
    def exact(self) -> bool:
        """Every reading exactly once, and no item that contradicts itself."""
        return not self.fault_count and not any(self.counts.values())


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


def compare(ledger: Ledger, items: Iterable[Item]) -> Report:
    """Compare the generated readings of the ledger with all items of the table."""
    spans = ledger.spans()
    survey = Survey(spans)
    ledger.replace_stored(survey.rows(items))
    counts = dict.fromkeys(VERDICTS, 0)
    shown: list[Offence] = []
    for offence in ledger.offences():
        counts[offence.verdict] += 1
        if len(shown) < SHOWN:
            shown.append(offence)
    generated, stored = ledger.sizes()
    faults = survey.faults
    return Report(
        len(spans), generated, stored, survey.items, counts, tuple(shown), tuple(faults[:SHOWN]), len(faults)
    )


def settle(
    ledger: Ledger,
    scan: Callable[[], Iterable[Item]],
    seconds: float,
    tell: Callable[[Report], None] = lambda report: None,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Report:
    """Compare again and again until nothing is missing (only that can heal) or the seconds are over."""
    end = monotonic() + seconds
    while True:
        began = monotonic()
        report = compare(ledger, scan())
        now = monotonic()
        if not report.counts["missing"] or now >= end:
            return report
        tell(report)
        # A scan of a large table costs read units and time: spend at most half of the wait on it.
        sleep(min(max(POLL_S, now - began), end - now))


def scan_table(database: DynamoDBClient, table: str) -> Iterator[Item]:
    """Every item of the Readings table, read consistently, page by page."""
    pages = database.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    for page in pages:
        for item in page["Items"]:
            yield Item(item["p"]["S"], item["s"]["S"], bytes(item.get("b", {}).get("B", b"")))
