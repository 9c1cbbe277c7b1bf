"""The truth report as a picture: the error of each row as a part of what its bound allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape

from tests.truth.report import Row
from tests.truth.table import figure

WIDTH, LINE, TOP = 1000, 22, 56
LABEL, BAR = 430, 360
"""Where the bars begin, and how long a bar at its bound is."""
LONGEST = 1.15
"""Bars and marks end here, in bounds."""
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 } .quiet { fill: #59636e } .ok { fill: #1a7f37 }
  .miss { fill: #cf222e } .limit { stroke: #59636e; stroke-dasharray: 4 3 } .peer { fill: #9a6700 }
  .title { font-weight: 600 } .back { fill: #ffffff }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .quiet { fill: #9198a1 } .ok { fill: #3fb950 } .miss { fill: #f85149 }
    .limit { stroke: #9198a1 } .peer { fill: #d29922 } .back { fill: #0d1117 }
  }
"""


def picture(rows: Sequence[Row]) -> str:
    """The rows as an SVG file that reads in light and dark."""
    rows = condensed(rows)
    height = TOP + LINE * len(rows) + 20
    limit = LABEL + BAR
    lines = [line for number, row in enumerate(rows) for line in _row(row, TOP + LINE * number)]
    title = "Errors of the probes against the wire's own log; the dashed line is what is allowed"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
            f"<title>{escape(title)}</title><style>{_STYLE}</style>",
            f'<rect class="back" width="{WIDTH}" height="{height}"/>',
            f'<text class="title" x="12" y="22">{escape(title)}</text>',
            '<circle class="peer" cx="18" cy="38" r="4"/><text class="quiet" x="28" y="42">'
            "another tool on the same wire (at the edge: further out)</text>",
            *lines,
            f'<line class="limit" x1="{limit}" x2="{limit}" y1="{TOP - 8}" y2="{height - 16}"/>',
            "</svg>\n",
        ]
    )


def condensed(rows: Sequence[Row]) -> list[Row]:
    """The rows, with one line for all the counts of a probe that are exact."""
    exact: dict[str, list[Row]] = {}
    for row in rows:
        if row.reached and not row.bound:
            exact.setdefault(row.what.split()[0], []).append(row)
    first = {id(each[0]): name for name, each in exact.items()}
    kept: list[Row] = []
    for row in rows:
        if id(row) in first:
            name = first[id(row)]
            kept.append(replace(row, what=f"{name}: {len(exact[name])} counts", condition="to the packet"))
        elif not row.reached or row.bound:
            kept.append(row)
    return kept


def _row(row: Row, top: int) -> list[str]:
    state = "ok" if row.reached else "miss"
    middle = top + LINE // 2
    width = max(_part(row.error, row) * BAR, 2)
    error = "not measured" if row.error is None else f"{figure(row.error)} {row.unit}"
    error = "exact" if row.reached and not row.bound else error
    label = f"{row.what}, {row.condition}" if row.condition else row.what
    return [
        f'<text x="{LABEL - 8}" y="{middle + 4}" text-anchor="end">{escape(_short(label))}</text>',
        f'<rect class="{state}" x="{LABEL}" y="{top + 4}" width="{width:.1f}" height="{LINE - 8}" rx="2"/>',
        *(_peer(name, error, row, middle) for name, error in row.peers.items()),
        f'<text class="quiet" x="{LABEL + BAR * LONGEST + 10:.0f}" y="{middle + 4}">'
        f"{escape(error)}{'' if row.reached else ' MISS'}</text>",
    ]


def _peer(name: str, error: float, row: Row, middle: int) -> str:
    at = LABEL + _part(error, row) * BAR
    return (
        f'<circle class="peer" cx="{at:.1f}" cy="{middle}" r="4">'
        f"<title>{escape(name)}: {escape(figure(error))} {escape(row.unit)}</title></circle>"
    )


def _part(error: float | None, row: Row) -> float:
    """The error in bounds; an exact row (bound 0) is at 0 or beyond the limit."""
    if error is None or (error and not row.bound):
        return LONGEST
    return min(error / row.bound, LONGEST) if row.bound else 0.0


def _short(label: str, most: int = 60) -> str:
    return label if len(label) <= most else label[: most - 1] + "…"
