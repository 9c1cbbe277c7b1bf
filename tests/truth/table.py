"""The truth report as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from tests.truth.report import Row

_RIGHT = ("estimate", "truth", "error", "bound", "wire late µs")


def table(rows: Sequence[Row]) -> Table:
    """One line a row; a miss is marked in words and colour."""
    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for name in (
        "what",
        "condition",
        "estimate",
        "truth",
        "error",
        "bound",
        "unit",
        "",
        "wire late µs",
        "beside",
    ):
        made.add_column(
            name, justify="right" if name in _RIGHT else "left", no_wrap=name not in ("condition", "beside")
        )
    for row in rows:
        made.add_row(*cells(row), style="" if row.reached else "bold red")
    return made


def cells(row: Row) -> tuple[str, ...]:
    """The texts of a row."""
    peers = ", ".join(f"{name} {figure(error)}" for name, error in row.peers.items())
    beside = "; ".join(filter(None, (f"errors: {peers}" if peers else "", row.note)))
    figures = (row.estimate, row.truth, row.error, row.bound)
    verdict = "ok" if row.reached else "MISS"
    late = f"{row.wire_late_us:.0f}"
    return (row.what, row.condition, *map(figure, figures), row.unit, verdict, late, escape(beside))


def figure(value: float | None) -> str:
    """A number at the precision that its size deserves."""
    if value is None:
        return "-"
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4f}" if abs(value) < 0.1 else f"{value:.3f}"
