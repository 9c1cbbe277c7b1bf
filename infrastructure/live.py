"""The demo's live view: rates through each stage, lag, the parts' health and the worst links."""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cloud import links, queries, ranking
from cloud.target import TargetError, resolve

WINDOW_S = 10
PLAIN_EVERY_S = 5
WORST_EVERY_S = 3
WORST_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the stages had counted at one moment."""

    at_s: float
    counts: dict[str, int]
    lag_ms: int
    failed: tuple[str, ...]


STAGES = (
    ("measured", "measured or simulated", "readings"),
    ("acknowledged", "acknowledged by the broker", "readings"),
    ("bridge.forwarded", "through the rule, on the stream", "batches"),
    ("mapping.records", "taken by the ingest function", "batches"),
    ("metric.Readings", "written to the table, repeats too", "readings"),
    ("metric.Quarantined", "quarantined", "records"),
)


class Figures:
    """Reads what the parts write about themselves into snapshots."""

    def __init__(self, state: Path, agent_record: Path) -> None:
        self._state = state
        self._record = agent_record
        self._recorded = 0
        self._read = 0

    def take(self) -> Snapshot:
        """The counts of now; a file that is not there yet counts as nothing."""
        status, fleet = _load(self._state / "status.json"), _load(self._state / "fleet.json")
        counts: dict[str, int] = dict(status.get("counters", {}))
        counts["measured"] = fleet.get("accepted", 0) + self._agent_readings()
        counts["acknowledged"] = fleet.get("acknowledged", 0)
        parts = status.get("parts", {})
        failed = tuple(name for name, part in parts.items() if part["state"] == "failed")
        return Snapshot(time.monotonic(), counts, status.get("iterator_age_ms", 0), failed)

    def _agent_readings(self) -> int:
        if self._record.exists():
            with self._record.open("rb") as lines:
                lines.seek(self._read)
                new = lines.read()
            self._read += len(new)
            self._recorded += new.count(b"\n")
        return self._recorded


def _load(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return {}


class Worst:
    """The worst links as `linkview links` shows them, asked for again every few seconds."""

    def __init__(self, state: Path) -> None:
        self._target = resolve(None, str(state))
        self._drawn: RenderableType = Text("no links yet", style="dim")
        self._due_s = 0.0

    def table(self) -> RenderableType:
        """The table of now; a cloud that does not answer is said in its place."""
        if time.monotonic() >= self._due_s:
            try:
                self._drawn = self._ask()
            except TargetError as error:
                self._drawn = Text(str(error), style="red")
            self._due_s = time.monotonic() + WORST_EVERY_S
        return self._drawn

    def _ask(self) -> RenderableType:
        now_ms = time.time_ns() // 1_000_000
        rows = ranking.ordered(ranking.rows(queries.latest_states(self._target), now_ms), "worst")[
            :WORST_SHOWN
        ]
        return (
            links.draw(rows, links.recent(self._target, rows, now_ms), "worst links") if rows else self._drawn
        )


class View:
    """Redraws in place on a terminal; elsewhere a line every few seconds."""

    def __init__(self, console: Console, figures: Figures, worst: Worst) -> None:
        self._console = console
        self._figures = figures
        self._worst = worst
        self._history: deque[Snapshot] = deque(maxlen=WINDOW_S + 1)
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._said_s = 0.0

    def __enter__(self) -> View:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def refresh(self, elapsed_s: float, total_s: int | None) -> None:
        """Draw the figures of now."""
        self._history.append(self._figures.take())
        if self._live:
            self._live.update(draw(self._history, elapsed_s, total_s, self._worst.table()), refresh=True)
        elif elapsed_s - self._said_s >= PLAIN_EVERY_S:
            self._said_s = elapsed_s
            self._console.print(plain(self._history[-1], elapsed_s), highlight=False)


def plain(snapshot: Snapshot, elapsed_s: float) -> str:
    """One line of figures, for a log."""
    counts = snapshot.counts
    figures = (
        f"{elapsed_s:4.0f} s",
        f"measured {counts['measured']:,}",
        f"acknowledged {counts['acknowledged']:,}",
        f"written {counts.get('metric.Readings', 0):,}",
        f"lag {snapshot.lag_ms / 1000:.1f} s",
    )
    return "  ".join(figures) + "".join(f"  {name} FAILED" for name in snapshot.failed)


def rate(history: deque[Snapshot], name: str) -> float:
    """Mean increase per second over the window."""
    first, last = history[0], history[-1]
    span = last.at_s - first.at_s
    return (last.counts.get(name, 0) - first.counts.get(name, 0)) / span if span > 0 else 0.0


def draw(
    history: deque[Snapshot], elapsed_s: float, total_s: int | None, worst: RenderableType
) -> RenderableType:
    """The whole view as one renderable."""
    last = history[-1]
    table = Table(title="Linkpulse: gateway to table", title_justify="left", expand=False)
    table.add_column("stage")
    for column in ("total", "a second"):
        table.add_column(column, justify="right")
    table.add_column("")
    for name, label, unit in STAGES:
        table.add_row(label, f"{last.counts.get(name, 0):,}", f"{rate(history, name):,.1f}", unit)
    left = f" of {total_s} s" if total_s else " s, Ctrl-C ends and audits"
    foot = Text(f"{elapsed_s:.0f}{left}   stream lag {last.lag_ms / 1000:.1f} s", style="dim")
    health = [Text(f"{name} has failed: local-cloud status", style="bold red") for name in last.failed]
    return Group(table, foot, *health, worst)
