"""A terminal's colours, and tables whose columns stand in line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

BOLD = "1"


class Palette:
    """Colours for a terminal, and none for anything else or when NO_COLOR is set (no-color.org)."""

    def __init__(self, stream: TextIO, environment: Mapping[str, str]) -> None:
        self._is_on = stream.isatty() and not environment.get("NO_COLOR")

    def paint(self, text: str, colour: str) -> str:
        """The text in an SGR colour."""
        return f"\033[{colour}m{text}\033[0m" if self._is_on else text


def aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines with aligned columns; the last column is not padded."""
    cells = list(map(list, rows))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def table(rows: Iterable[Sequence[str]], header: Sequence[str], palette: Palette) -> list[str]:
    """Aligned lines under a header."""
    lines = aligned([header, *rows])
    return [palette.paint(lines[0], BOLD), *lines[1:]]
