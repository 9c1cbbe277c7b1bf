"""Truth and a table that holds it, small and whole, for tests of the audit to damage."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cloud.audit_compare import Report, Tables, compare
from cloud.audit_items import Item
from cloud.audit_ledger import Ledger
from edge_agent.contract import Batch, Reading, describe_reading, encode

START_MS = 1_790_000_000_000
ECHO = (5, 5, 0, 0, 0, 0, 1000, 1100, None, 1300, 1120, 90, 70, 0, 64)


def batch(gateway: str, number: int, rows: int = 6) -> Batch:
    """The number-th minute of a gateway: rows readings of one link, 10 s apart."""
    first = number * rows
    readings = tuple(
        Reading(
            f"{gateway}:radio1",
            "echo",
            START_MS + (first + row) * 10_000,
            (*ECHO[:11], first + row, *ECHO[12:]),
        )
        for row in range(rows)
    )
    return Batch(gateway, 77, first, START_MS, readings)


def item(batch: Batch) -> Item:
    day = f"{datetime.fromtimestamp(batch.first_ms / 1000, UTC):%Y%m%d}"
    s = f"{batch.first_ms:013d}#{batch.epoch:016x}#{batch.first_sequence:010d}"
    return Item(f"{batch.gateway}#{day}", s, encode(batch))


@dataclass
class Scene:
    """Truth in a ledger, and a table to damage."""

    batches: Sequence[Batch]
    table: list[Item] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.table = [item(each) for each in self.batches]
        self.ledger = Ledger()
        self.ledger.add_generated(
            (
                each.gateway,
                reading.link,
                reading.kind,
                reading.at_ms,
                repr((int(reading.flags), int(reading.outcome), *reading.values)),
            )
            for each in self.batches
            for reading in each.readings
        )

    def report(self) -> Report:
        return compare(self.ledger, Tables(self.table))


def two_gateways() -> Scene:
    """Three minutes of each."""
    return Scene([batch(gateway, number) for gateway in ("gw-0001", "gw-0002") for number in range(3)])


def lines(*batches: Batch) -> bytes:
    return b"".join(
        json.dumps({"gateway": each.gateway, **describe_reading(reading)}).encode() + b"\n"
        for each in batches
        for reading in each.readings
    )
