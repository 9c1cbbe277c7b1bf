"""NetJSON NetworkGraph (netjson.org): nodes are gateways, links lie between two of them (pure).

What a link says holds for both directions, until the other one says otherwise. A node is the gateway that
its ``properties.gateway`` names, else its id, else its ``properties.hostname`` or ``properties.name``, else
its label, whichever can be a gateway's name first. Where none can, its id is made one: whatever a name
cannot hold becomes a dash, 172.16.146.6 is 172-16-146-6.
"""

from __future__ import annotations

import json
import re
from bisect import bisect
from collections.abc import Iterator, Mapping
from json.decoder import JSONObject  # type: ignore[attr-defined]  # not in the stubs
from json.scanner import py_make_scanner  # type: ignore[attr-defined]  # not in the stubs
from typing import Any, TypeGuard

from cloud.registry_metadata import Metadata
from cloud.registry_rows import OF_LINK, OF_PLACE, FileError, Said
from edge_agent.contract import GATEWAY_PATTERN

_NO_NAME = re.compile(r"[^A-Za-z0-9_-]+")


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


class _Names:
    """Which gateway each id is."""

    def __init__(self) -> None:
        self._by_id: dict[str, str] = {}
        self._ids: dict[str, str] = {}
        """By gateway."""

    def renamed(self) -> dict[str, str]:
        """The gateways whose id is not their name, by that id."""
        return {id_: name for id_, name in self._by_id.items() if id_ != name}

    def node(self, node: Mapping[str, Any]) -> str:
        """Learn the gateway of a node; raises ValueError when it has none, or is that of another id."""
        properties, id_ = _properties(node), _id(node.get("id"))
        if meant := properties.get("gateway"):
            return self._learn(id_, _valid(meant))
        given = (id_, properties.get("hostname"), properties.get("name"), node.get("label"))
        return self._learn(id_, next(filter(_is_name, given), None) or _derived(id_))

    def end(self, given: object) -> str:
        """The gateway at an end of a link; raises ValueError as ``node`` does."""
        id_ = _id(given)
        return self._by_id.get(id_) or self.node({"id": id_})

    def _learn(self, id_: str, name: str) -> str:
        if self._by_id.setdefault(id_, name) != name:
            raise ValueError(f"node {id_[:70]!r} is there twice, as {self._by_id[id_]} and as {name}")
        if self._ids.setdefault(name, id_) != id_:
            raise ValueError(
                f"nodes {self._ids[name][:70]!r} and {id_[:70]!r} would both be gateway {name}:"
                " give them properties.gateway"
            )
        return name


def _id(given: object) -> str:
    if isinstance(given, bool) or not isinstance(given, str | int) or not str(given).strip():
        raise ValueError("no id is given" if given in (None, "") else f"id {str(given)[:70]!r} is no text")
    return str(given).strip()


def _is_name(given: object) -> TypeGuard[str]:
    return isinstance(given, str) and GATEWAY_PATTERN.fullmatch(given) is not None


def _valid(given: object) -> str:
    if not _is_name(given):
        raise ValueError(f"{str(given)[:70]!r} cannot be a gateway's name")
    return given


def _derived(id_: str) -> str:
    name = _NO_NAME.sub("-", id_).strip("-_")
    if not _is_name(name):
        raise ValueError(f"{id_[:70]!r} cannot be a gateway's name: give its node properties.gateway")
    return name


def read(given: str) -> tuple[dict[str, Metadata], dict[str, str]]:
    """What a NetworkGraph says by gateway, and the gateways of ids that are not their names.

    Raises FileError, with all that is wrong.
    """
    lines = _Lines(given)
    try:
        document = lines.decode(given)
    except json.JSONDecodeError as exc:
        raise FileError([f"line {exc.lineno}: {exc.msg}"]) from exc
    except RecursionError:
        raise FileError(["line 1: nested too deeply"]) from None
    except ValueError:
        raise FileError(["line 1: a number is too long"]) from None
    if document.get("type") != "NetworkGraph":
        raise FileError([f"line 1: NetJSON of type {document.get('type')!r}, not NetworkGraph"])
    said, names = Said(), _Names()
    for node in _objects(document, "nodes", said, lines):
        _node(said, names, lines.line(node), node)
    for link in _objects(document, "links", said, lines):
        _link(said, names, lines.line(link), link)
    return said.result(), names.renamed()


def _node(said: Said, names: _Names, line: int, node: Mapping[str, Any]) -> None:
    try:
        said.take(line, {"gateway": names.node(node), **_cells(node, OF_PLACE)})
    except ValueError as exc:
        said.wrong.append(f"line {line}: {exc}")


def _link(said: Said, names: _Names, line: int, link: Mapping[str, Any]) -> None:
    try:
        near, far = names.end(link.get("source")), names.end(link.get("target"))
        cells = _cells(link, OF_LINK)
    except ValueError as exc:
        said.wrong.append(f"line {line}: {exc}")
        return
    said.take(line, {"gateway": near, "peer": far, **cells})
    said.take(line, {"gateway": far, "peer": near, **cells}, implied=True)


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


def _properties(given: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = given.get("properties")
    return properties if isinstance(properties, dict) else {}


def _cells(given: Mapping[str, Any], columns: tuple[str, ...]) -> dict[str, str]:
    """What an object or its properties say, as cells of a row; raises ValueError for what is none."""
    properties = {name: value for name, value in _properties(given).items() if value is not None}
    said = {**given, **properties}
    return {name: _cell(name, said[name]) for name in columns if said.get(name) is not None}


def _cell(name: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{name} is neither text nor a number")
    return str(value).strip()
