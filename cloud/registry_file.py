"""Files that say where gateways stand and what their links can carry: CSV, and NetJSON NetworkGraph (pure).

CSV has a header; a row is about a gateway, or about one of its links when it names a link or a peer, and an
empty cell says nothing. Two rows that say different things of the same are an error.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import StringIO

from cloud import registry_netjson
from cloud.registry_metadata import Metadata
from cloud.registry_rows import COLUMNS, MBPS, FileError, Said

_DELIMITERS = ",;\t"
"""As spreadsheets save a table, by the language they speak."""
_OTHERS = {"<": "XML", "[": "a JSON list"}
"""What else people give, by its first character."""


@dataclass(frozen=True, slots=True)
class File:
    """What a file says."""

    gateways: dict[str, Metadata]
    renamed: Mapping[str, str] = field(default_factory=dict)
    """The gateways of nodes whose id is not their name, by that id."""


def read(content: bytes) -> File:
    """What a file says; raises FileError, with all that is wrong."""
    try:
        given = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = content[: exc.start].count(b"\n") + 1
        raise FileError([f"line {line}: not UTF-8 text"]) from exc
    start = given.lstrip()[:1]
    if not start:
        raise FileError(["line 1: the file is empty"])
    if start in _OTHERS:
        raise FileError([f"line 1: this is {_OTHERS[start]}: give CSV, or NetJSON of type NetworkGraph"])
    return File(*registry_netjson.read(given)) if start == "{" else File(_csv(given))


def _csv(given: str) -> dict[str, Metadata]:
    delimiter = max(_DELIMITERS, key=given.splitlines()[0].count)
    reader = csv.reader(StringIO(given, newline=""), strict=True, delimiter=delimiter)
    said = Said()
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
        unknown = [cell for cell in header if cell not in (*COLUMNS, MBPS)]
        if "gateway" not in header or unknown or len(set(header)) < len(header):
            what = f"{unknown[0][:20]!r} is not known" if unknown else "a column gateway, and none twice"
            raise FileError([f"line 1: {what}; the columns are {', '.join(COLUMNS)} (or {MBPS})"])
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if len(cells) != len(header):
                said.wrong.append(f"line {reader.line_num}: {len(cells)} cells, not {len(header)}")
            else:
                said.take(reader.line_num, dict(zip(header, cells, strict=True)))
    except csv.Error as exc:
        said.wrong.append(f"line {reader.line_num}: {exc}")
    return said.result()
