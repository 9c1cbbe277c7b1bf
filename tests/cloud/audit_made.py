"""The tables of a run under many faults, and what was generated, for tests of the audit to damage."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any

from cloud.audit_compare import Report, Tables, compare, item_of
from cloud.audit_ledger import Ledger
from infrastructure.local.faults import Fault
from tests.benchmarks import exactness
from tests.benchmarks.exactness import Run
from tests.benchmarks.exactness_world import RATES

HARSH = {**RATES, **dict.fromkeys((Fault.THROTTLED, Fault.SERVER_ERROR, Fault.ANSWER_LOST), 0.03)}
"""A small run has few calls; more of them fail."""
Item = dict[str, Any]
Named = list[tuple[str, str]]
"""What was checked, and what is said of it."""


@dataclass
class Scene:
    """The tables of a run under faults, to be damaged, and what was generated."""

    run: Run
    ledger: Ledger
    readings: dict[tuple[str, str], Item]
    latest: dict[str, Item]

    def report(self) -> Report:
        items = (item_of(item) for item in self.readings.values())
        return compare(self.ledger, Tables(items, list(self.latest.values()), self.run.now_ms))

    def named(self) -> Named:
        report = self.report()
        assert not any(report.counts.values())
        return [(check.what, each.detail) for check in report.checks for each in check.differences]

    def places(self, kind: str, sort: Callable[[str], bool] = bool) -> list[tuple[str, str]]:
        return sorted(place for place in self.readings if place[0].startswith(kind) and sort(place[1]))


@cache
def _made() -> tuple[Run, Ledger]:
    ledger = Ledger()
    return exactness.run(12_000, 3, HARSH, gateways=6, never=0.06, ledger=ledger), ledger


def made() -> Scene:
    """The run's tables, to be changed at will."""
    run, ledger = _made()
    tables = run.world.tables.tables
    readings = {(each["p"]["S"], each["s"]["S"]): deepcopy(each) for each in tables["readings"].items()}
    states = {each["gateway"]["S"]: deepcopy(each) for each in tables["latest"].items()}
    return Scene(run, ledger, readings, states)
