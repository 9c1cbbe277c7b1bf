"""What came of the trials, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from edge_agent.contract import Loss
from tests.chaos.oracle import Verdict

COLUMNS = (
    "trials",
    "readings",
    "accepted",
    "delivered",
    "doubled",
    "lost",
    "dropped",
    "damaged",
    "refusals",
    "failed",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One trial."""

    number: int
    kind: str
    verdict: Verdict
    seconds: float
    skipped: str = ""
    """Why it could not run here."""

    @property
    def is_good(self) -> bool:
        """Whether nothing was wrong."""
        return not self.verdict.violations

    def replay(self, seed: int) -> str:
        """The command that runs it again, with a log."""
        return f'make chaos SEED={seed} TRIAL={self.number} KIND="{self.kind}"'

    def as_json(self, seed: int) -> dict[str, Any]:
        """Plain JSON."""
        verdict = asdict(self.verdict)
        verdict["told"] = {reason.name: count for reason, count in self.verdict.told.items()}
        return {
            "trial": self.number,
            "kind": self.kind,
            "seconds": round(self.seconds, 4),
            "skipped": self.skipped,
            "replay": self.replay(seed),
            **verdict,
        }


@dataclass(slots=True)
class Line:
    """All trials of one kind."""

    kind: str
    trials: int = 0
    readings: int = 0
    accepted: int = 0
    delivered: int = 0
    doubled: int = 0
    lost: int = 0
    dropped: int = 0
    damaged: int = 0
    refusals: int = 0
    failed: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count a trial."""
        verdict = outcome.verdict
        self.trials += 1
        self.readings += verdict.generated
        self.accepted += verdict.accepted
        self.delivered += verdict.delivered
        self.doubled += verdict.doubled
        self.lost += verdict.lost
        self.dropped += verdict.dropped
        self.damaged += verdict.told[Loss.DAMAGED]
        self.refusals += verdict.refusals
        self.failed += not outcome.is_good


def summary(outcomes: Iterable[Outcome]) -> list[Line]:
    """A line for each kind, in the order of the first trial, and the sum of all."""
    lines: dict[str, Line] = {}
    total = Line("all")
    for outcome in outcomes:
        if not outcome.skipped:
            lines.setdefault(outcome.kind, Line(outcome.kind)).add(outcome)
            total.add(outcome)
    return [*lines.values(), total]


def table(lines: Sequence[Line]) -> Table:
    """The summary for people."""
    shown = Table("fault", *COLUMNS, box=None)
    for column in shown.columns[1:]:
        column.justify = "right"
    for line in lines:
        style = "red" if line.failed else ""
        shown.add_row(line.kind, *(f"{getattr(line, name):,}" for name in COLUMNS), style=style)
    return shown
