"""Files that say where gateways stand and what their links can carry: CSV, and NetJSON NetworkGraph (pure).

CSV has a header; a row is about a gateway, or about one of its links when it names a link or a peer, and an
empty cell says nothing. NetJSON (netjson.org, "NetworkGraph") has nodes, whose id is a gateway's name, and
links between two of them: what a link says holds for both directions, until the other one says otherwise.
"""

from __future__ import annotations

import csv
import json
from bisect import bisect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from json.decoder import JSONObject  # type: ignore[attr-defined]  # not in the stubs
from json.scanner import py_make_scanner  # type: ignore[attr-defined]  # not in the stubs
from typing import Any

from cloud.keys import text
from cloud.registry import NAME_LENGTH
from cloud.registry_metadata import LinkMetadata, Metadata
from edge_agent.contract import GATEWAY_PATTERN, LINK_PATTERN

COLUMNS = (
    "gateway", "site", "region", "latitude", "longitude", "link", "peer", "medium", "capacity_kbps",
)  # fmt: skip
"""Of a CSV file; ``gateway`` must be there, ``capacity_mbps`` may stand for ``capacity_kbps``."""
_MBPS = "capacity_mbps"
MOST_KBPS = 1 << 32


class FileError(ValueError):
    """The file cannot be imported; a message for each thing that is wrong, each with its line."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__("\n".join(messages))
        self.messages = messages


@dataclass(slots=True)
class Said:
    """What a file says, by gateway."""

    gateways: dict[str, Metadata] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def take(self, line: int, given: Mapping[str, str]) -> None:
        """Take in what one row says; what is wrong with it is noted with its line."""
        try:
            name, known = _name(given, "gateway", GATEWAY_PATTERN), self.gateways
            known[name] = over(known.get(name, Metadata()), _metadata(name, given))
        except ValueError as exc:
            self.wrong.append(f"line {line}: {exc}")

    def result(self) -> dict[str, Metadata]:
        """All of it; raises FileError when anything was wrong."""
        if self.wrong:
            raise FileError(self.wrong)
        return self.gateways


def read(content: bytes) -> dict[str, Metadata]:
    """What a file says, by gateway; raises FileError, with all that is wrong."""
    try:
        given = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = content[: exc.start].count(b"\n") + 1
        raise FileError([f"line {line}: not UTF-8 text"]) from exc
    return _json(given) if given.lstrip()[:1] == "{" else _csv(given)


def over(before: Metadata, after: Metadata) -> Metadata:
    """What was said before with what is said now over it; what is not said now stays."""
    place = {
        name: getattr(after, name)
        for name in ("site", "region", "latitude", "longitude")
        if getattr(after, name) not in ("", None)
    }
    return replace(
        before, **place, links=_over(before.links, after.links), peers=_over(before.peers, after.peers)
    )


def _over(before: Mapping[str, LinkMetadata], after: Mapping[str, LinkMetadata]) -> dict[str, LinkMetadata]:
    merged = dict(before)
    for name, said in after.items():
        known = merged.get(name, LinkMetadata())
        merged[name] = LinkMetadata(said.medium or known.medium, said.capacity_kbps or known.capacity_kbps)
    return merged


def _metadata(gateway: str, given: Mapping[str, str]) -> Metadata:
    latitude, longitude = _degrees(given, "latitude", 90), _degrees(given, "longitude", 180)
    if (latitude is None) != (longitude is None):
        raise ValueError("latitude and longitude are given together or not at all")
    said = LinkMetadata(_text(given, "medium"), _capacity(given))
    links, peers = {}, {}
    if given.get("link"):
        links[_name(given, "link", LINK_PATTERN)] = said
    elif given.get("peer"):
        peers[_text(given, "peer")] = said
    elif said != LinkMetadata():
        raise ValueError(f"medium or capacity of {gateway}, but no link and no peer that has it")
    return Metadata(_text(given, "site"), _text(given, "region"), latitude, longitude, links, peers)


def _text(given: Mapping[str, str], name: str) -> str:
    value = given.get(name, "")
    if len(value) > NAME_LENGTH or text(value, NAME_LENGTH) != value or not value.isprintable():
        raise ValueError(f"{name} {value[:20]!r} is longer than {NAME_LENGTH} or not printable")
    return value


def _name(given: Mapping[str, str], name: str, pattern: Any) -> str:
    value = given.get(name, "")
    if not value:
        raise ValueError(f"no {name} is given")
    if not pattern.fullmatch(value):
        raise ValueError(f"{value[:70]!r} cannot be a {name}'s name")
    return value


def _number(given: Mapping[str, str], name: str) -> float | None:
    value = given.get(name, "")
    try:
        return float(value) if value else None
    except ValueError:
        raise ValueError(f"{name} {value[:20]!r} is no number") from None


def _degrees(given: Mapping[str, str], name: str, limit: int) -> float | None:
    value = _number(given, name)
    if value is not None and not -limit <= value <= limit:
        raise ValueError(f"{name} {given[name]} is not within -{limit} and {limit} degrees")
    return value


def _capacity(given: Mapping[str, str]) -> int:
    if given.get("capacity_kbps") and given.get(_MBPS):
        raise ValueError("both capacity_kbps and capacity_mbps are given")
    name, factor = (_MBPS, 1000) if given.get(_MBPS) else ("capacity_kbps", 1)
    value = _number(given, name)
    if value is not None and not 1 <= value * factor <= MOST_KBPS:
        raise ValueError(f"{name} {given[name]} is not within 1 kbit/s and {MOST_KBPS} kbit/s")
    return 0 if value is None else round(value * factor)


# --- CSV ------------------------------------------------------------------------------------------


def _csv(given: str) -> dict[str, Metadata]:
    reader = csv.reader(given.splitlines(), strict=True)
    said = Said()
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
        unknown = [cell for cell in header if cell not in (*COLUMNS, _MBPS)]
        if "gateway" not in header or unknown or len(set(header)) < len(header):
            what = f"{unknown[0]!r} is not known" if unknown else "a column gateway, and none twice"
            raise FileError([f"line 1: {what}; the columns are {', '.join(COLUMNS)} (or {_MBPS})"])
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


# --- NetJSON --------------------------------------------------------------------------------------


class _Lines(json.JSONDecoder):
    """Reads JSON and notes the line on which each object begins."""

    def __init__(self, given: str) -> None:
        super().__init__()
        self._ends = [index for index, character in enumerate(given) if character == "\n"]
        self._of: dict[int, int] = {}
        self.parse_object = self._object
        self.scan_once = py_make_scanner(self)

    def _object(self, place: tuple[str, int], *rest: Any) -> tuple[Any, int]:
        value, end = JSONObject(place, *rest)
        self._of[id(value)] = bisect(self._ends, place[1] - 1) + 1
        return value, end

    def line(self, value: object) -> int:
        """Line of an object of the document, 1 for anything else."""
        return self._of.get(id(value), 1)


def _json(given: str) -> dict[str, Metadata]:
    lines = _Lines(given)
    try:
        document = lines.decode(given)
    except json.JSONDecodeError as exc:
        raise FileError([f"line {exc.lineno}: {exc.msg}"]) from exc
    except RecursionError:
        raise FileError(["line 1: nested too deeply"]) from None
    if document.get("type") != "NetworkGraph":
        raise FileError([f"line 1: NetJSON of type {document.get('type')!r}, not NetworkGraph"])
    said = Said()
    for node in _objects(document, "nodes", said, lines):
        said.take(lines.line(node), _cells(node, {"gateway": node.get("id")}, COLUMNS[1:5]))
    links = list(_objects(document, "links", said, lines))
    # The other direction first, so that what a link says of itself goes over it.
    for far, near in (("source", "target"), ("target", "source")):
        for link in links:
            ends = {"gateway": link.get(near), "peer": link.get(far)}
            said.take(lines.line(link), _cells(link, ends, (*COLUMNS[7:], _MBPS)))
    said.wrong[:] = list(dict.fromkeys(said.wrong))
    return said.result()


def _objects(document: Any, name: str, said: Said, lines: _Lines) -> Iterator[dict[str, Any]]:
    given = document.get(name, [])
    if not isinstance(given, list):
        said.wrong.append(f"line {lines.line(document)}: {name} is not a list")
        return
    for number, each in enumerate(given, 1):
        if isinstance(each, dict):
            yield each
        else:
            said.wrong.append(f"line {lines.line(document)}: {name} {number} is not an object")


def _cells(given: Mapping[str, Any], named: Mapping[str, Any], columns: tuple[str, ...]) -> dict[str, str]:
    """An object of NetJSON as a row: its names, and what it or its properties say."""
    properties = given.get("properties")
    said = {**given, **(properties if isinstance(properties, dict) else {}), **named}
    return {
        name: "" if said[name] is None else str(said[name]).strip()
        for name in (*named, *columns)
        if name in said
    }
