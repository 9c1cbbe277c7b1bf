"""On which line of a TOML text each table and key stands: tomllib reads values but not their places."""

from __future__ import annotations

import re
from collections.abc import Mapping

KeyPath = tuple[str | int, ...]
"""Keys from the root, with the index of an array's table after its name: ("link", 0, "id")."""

_PART = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_DOTTED = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_DOTTED})\s*\]\]?")
_KEY = re.compile(rf"\s*({_DOTTED})\s*=(.*)", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"|' + r"'[^']*'")


def locate(text: str) -> Mapping[KeyPath, int]:
    """The line, from 1, of each table header and key of a valid TOML text.

    Keys inside inline tables are not listed; ``line_of`` gives their table's line.
    """
    lines: dict[KeyPath, int] = {}
    counts: dict[KeyPath, int] = {}
    table: KeyPath = ()
    quote, depth = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if quote or depth:
            quote, depth = _open_after(line, quote, depth)
        elif header := _HEADER.match(line):
            table = _table(_parts(header[2]), header[1] == "[[", counts)
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            path = (*table, *_parts(key[1]))
            for end in range(len(table) + 1, len(path) + 1):
                lines.setdefault(path[:end], number)
            quote, depth = _open_after(key[2], "", 0)
    return lines


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int | None:
    """The line of the path or of the nearest table around it; None where not even that is written."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return None


def _parts(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in re.findall(_PART, dotted)]


def _table(parts: list[str], is_array: bool, counts: dict[KeyPath, int]) -> KeyPath:
    """The path of a header, with the index of the array table it opens or lies in."""
    path: KeyPath = ()
    for position, part in enumerate(parts):
        path = (*path, part)
        if is_array and position == len(parts) - 1:
            counts[path] = counts.get(path, 0) + 1
        if path in counts:
            path = (*path, counts[path] - 1)
    return path


def _open_after(text: str, quote: str, depth: int) -> tuple[str, int]:
    """The multi-line string and the depth of brackets that are still open at the end of a line."""
    at = 0
    while at < len(text):
        if quote:
            end = text.find(quote, at)
            if end < 0:
                return quote, depth
            quote, at = "", end + 3
        elif text[at : at + 3] in ('"""', "'''"):
            quote, at = text[at : at + 3], at + 3
        elif string := _STRING.match(text, at):
            at = string.end()
        elif text[at] == "#":
            break
        else:
            depth += (text[at] in "[{") - (text[at] in "]}")
            at += 1
    return quote, depth
