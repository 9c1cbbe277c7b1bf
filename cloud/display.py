"""How figures look to people: tables, sparklines, times and units; "–" is what was not measured."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cloud.keys import DAY_MS, MAX_MS, MIN_MS
from cloud.target import TargetError
from edge_agent.contract.texts import moment_text

utc = moment_text
NOTHING = "–"
BARS = "▁▂▃▄▅▆▇█"
LOST = "×"
"""In a sparkline: measured, and nothing came back."""
_PIPE_WIDTH = 200
_WRAPPED = 24
"""Width down to which a wrapping column keeps its text in one line, before other columns are left out."""
_GAP = 2
YEARS = 10
"""The longest range that is shown or exported at once."""
_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    header: str
    right: bool = False
    """Figures stand at the right."""
    wraps: bool = False
    """A text that may go on in the next line."""
    spare: int = 0
    """What is left out first on a narrow terminal, the highest first; 0 always stays."""


class Output(Console):
    """A console whose reader may go away: rich would end with 1."""

    def on_broken_pipe(self) -> None:
        """Leave it to the command line."""
        raise BrokenPipeError


def console() -> Console:
    """Colour and the terminal's width on a terminal; plain and wide elsewhere, where nothing must be cut."""
    return Output(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def table(
    title: str, columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None = None
) -> Table:
    """A table of cells (rich markup) that fits ``width`` columns of text (default: this console's).

    Figures are never cut: what does not fit is left out, the highest ``spare`` first, and said to be.
    """
    kept = _fitting(columns, rows, console().width if width is None else width)
    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for index in kept:
        column = columns[index]
        made.add_column(
            column.header,
            justify="right" if column.right else "left",
            no_wrap=not column.wraps,
            overflow="fold",
        )
    for row in rows:
        made.add_row(*(row[index] for index in kept))
    if len(kept) < len(columns):
        left_out = ", ".join(column.header for index, column in enumerate(columns) if index not in kept)
        made.caption, made.caption_justify = f"too narrow for: {left_out}", "left"
    return made


def _fitting(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Indices of the columns that fit side by side."""
    widths = []
    for index, column in enumerate(columns):
        cells = (Text.from_markup(row[index]).cell_len for row in rows)
        natural = max([len(column.header), *cells])
        widths.append(min(natural, _WRAPPED) if column.wraps else natural)
    kept = list(range(len(columns)))
    for index in sorted(kept, key=lambda each: -columns[each].spare):
        if sum(widths[each] + _GAP for each in kept) <= width or not columns[index].spare:
            break
        kept.remove(index)
    return kept


def more(output: Console, left: int) -> None:
    """A line that says how many rows are not shown, if any."""
    if left:
        output.print(f"{left:,} more: --limit 0 shows all", style="dim")


def warn(message: str) -> None:
    """A line on stderr about what the output does not hold."""
    print(f"linkview: {clean(message)}", file=sys.stderr)


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    json.dump(value, sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")


def clean(text: str) -> str:
    """A text of others, fit for a cell: nothing in it steers the terminal or reads as our markup."""
    return escape("".join(character if character.isprintable() else "?" for character in text)) or NOTHING


def age(milliseconds: int) -> str:
    """A duration in its largest unit that is at least 2."""
    seconds = max(milliseconds, 0) // 1000
    for unit, size in reversed(_UNITS_S.items()):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def scaled(value: int | None, scale: float, digits: int) -> str:
    """A stored integer in the unit of its column."""
    return NOTHING if value is None else f"{value * scale:,.{digits}f}"


def milliseconds(microseconds: int | None) -> str:
    """µs as ms with three significant digits where it matters."""
    if microseconds is None:
        return NOTHING
    return f"{microseconds / 1000:,.{2 if microseconds < 10_000 else 1 if microseconds < 100_000 else 0}f}"


def percent(part: int, whole: int) -> str:
    """A share in per cent; of nothing it is not measured."""
    return f"{100 * part / whole:.1f}" if whole else NOTHING


def sparkline(values: Sequence[float | None], lost: Sequence[bool]) -> str:
    """One character a value, scaled from least to most; LOST where all was lost, a blank for no data."""
    known = [value for value in values if value is not None]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    step = (high - low) / (len(BARS) - 1)

    def character(value: float | None, is_lost: bool) -> str:
        if value is None:
            return LOST if is_lost else " "
        return BARS[round((value - low) / step)] if step else BARS[0]

    return "".join(map(character, values, lost))


_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")


def moment(text: str, now_ms: int) -> int:
    """A time in ms from "now", "90s", "15m", "1h", "2d" (ago) or ISO 8601 (UTC unless it says).

    Raises TargetError for anything else.
    """
    if text == "now":
        return now_ms
    try:
        if found := _DURATION.fullmatch(text):
            delta = timedelta(seconds=float(found[1]) * _UNITS_S[found[2]])
            return max(now_ms - int(delta.total_seconds() * 1000), 0)
        given = datetime.fromisoformat(text)
        at = given if given.tzinfo else given.replace(tzinfo=UTC)
        return max(int(at.timestamp() * 1000), 0)
    except (ValueError, OverflowError):
        message = f"{text!r} is no time: give 90s, 15m, 1h or 2d (ago), or 2026-11-22T10:00"
        raise TargetError(message, 2) from None


def period(since: str, until: str, now_ms: int) -> tuple[int, int]:
    """[since, until) in ms of two times as ``moment`` takes them, what is measured now included.

    Raises TargetError for one that ends before it begins or is longer than YEARS: each day is asked for.
    """
    since_ms, until_ms = max(moment(since, now_ms), MIN_MS), min(moment(until, now_ms), MAX_MS)
    until_ms += until == "now"
    if until_ms <= since_ms:
        raise TargetError("--until is not after --since, or before 2020", 2)
    if until_ms - since_ms > YEARS * 366 * DAY_MS:
        raise TargetError(f"--since to --until is more than {YEARS} years: give a part of it", 2)
    return since_ms, until_ms
