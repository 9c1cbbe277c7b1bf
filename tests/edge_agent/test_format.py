"""infrastructure/chunk-format.md is enough to read a batch: a decoder of the standard library follows it."""

from __future__ import annotations

import json
import re
import struct
import zlib
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from edge_agent.contract import KINDS

ROOT = Path(__file__).parents[2]
WRITTEN = (ROOT / "infrastructure" / "chunk-format.md").read_text()
FILES = sorted((ROOT / "tests" / "wire" / "v1").glob("*.batch"))
Rows = list[list[str]]


def kinds() -> dict[int, tuple[str, Rows]]:
    """The document's table: by code the kind and its columns: name, bytes, factor, unit, difference to."""
    found: dict[int, tuple[str, Rows]] = {}
    for line in WRITTEN.split("## Kinds")[1].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 7 and cells[1].isdigit():
            found.setdefault(int(cells[1]), (cells[0], []))[1].append(cells[2:])
    return found


def words(of: str) -> dict[int, str]:
    """The numbers with names that the document lists for flags or outcomes."""
    (line,) = (line for line in WRITTEN.splitlines() if f": {of} of each reading" in line)
    return {int(number): name for number, name in re.findall(r"(\d+) ([a-z_]+)", line.split(":", 2)[2])}


class Reader:
    """Takes the body apart, from its beginning."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, width: int = 1) -> int:
        return int.from_bytes(self.take(width), "big")

    def text(self) -> str:
        return self.take(self.number()).decode()

    def planes(self, count: int, width: int) -> list[int]:
        planes = [self.take(count) for _ in range(width)]
        return [int.from_bytes(bytes(each), "big") for each in zip(*planes, strict=True)]


LINK = ("peer", "interface", "next_hop", "vlan", "target", "medium")


def decoded(data: bytes) -> dict[str, Any]:
    """A batch as the document says, in the form of the JSON files."""
    version, checksum = struct.unpack(">BI", data[:5])
    inflated = zlib.decompress(data[5:], wbits=-15)
    assert (version, checksum) == (1, zlib.crc32(inflated))
    body = Reader(inflated)
    batch: dict[str, Any] = {"version": version, "gateway": body.text(), "epoch": f"{body.number(8):016x}"}
    batch |= {"first_sequence": body.number(8), "sealed_ms": body.number(8), "links": []}
    base, names = body.number(8), []
    for _ in range(body.number()):
        defined = body.number()
        names.append(body.text())
        if defined:
            link = {"id": names[-1], **{name: body.text() for name in LINK}, "metered": bool(body.number())}
            batch["links"].append(link)
    series = [(body.number(), names[body.number()]) for _ in range(body.number())]
    count = body.number(2)
    which = [series[place] for place in body.take(count)]
    times = [base + total % (1 << 32) for total in accumulate(body.planes(count, 4))]
    flags, outcomes = body.take(count), body.take(count)
    rows = {code: columns(body, code, [each for each, _ in which].count(code)) for code in used(which)}
    assert body.at == len(inflated)
    batch["readings"] = [
        {
            "link": link,
            "kind": kinds()[code][0],
            "at_ms": at_ms,
            "flags": [name for bit, name in words("flags").items() if given & bit],
            "outcome": words("outcome")[outcome],
            **rows[code].pop(0),
        }
        for (code, link), at_ms, given, outcome in zip(which, times, flags, outcomes, strict=True)
    ]
    return batch


def used(which: list[tuple[int, str]]) -> list[int]:
    return sorted({code for code, _ in which})


def columns(body: Reader, code: int, count: int) -> list[dict[str, int | None]]:
    """The values of each reading of a kind, by the names of its columns."""
    assert body.number() == code
    known = kinds()[code][1]
    rows: list[dict[str, int | None]] = [{name: None for name, *_ in known} for _ in range(count)]
    for name, width, _, _, over in known[: body.number()]:
        modulus = (1 << 8 * int(width)) - 1
        for row, stored in zip(rows, body.planes(count, int(width)), strict=True):
            if stored:
                row[name] = (stored - 1 + (row[over] or 0 if over else 0)) % modulus
    return rows


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_decoder_that_follows_the_document_alone_reads_every_wire_file(file: Path) -> None:
    found, expected = decoded(file.read_bytes()), json.loads(file.with_suffix(".json").read_text())
    assert [told(each) for each in found.pop("readings")] == [told(each) for each in expected.pop("readings")]
    assert found == expected


def told(reading: dict[str, Any]) -> dict[str, Any]:
    """Without nulls: a JSON file does not name the columns that came later."""
    return {name: value for name, value in reading.items() if value is not None}


def test_the_document_lists_every_kind_and_column_as_it_is() -> None:
    known = {
        kind.code: (
            kind.name,
            [[c.name, str(c.width), f"{c.scale:g}", c.unit, c.over] for c in kind.columns],
        )
        for kind in KINDS.values()
    }
    assert kinds() == known
