"""A batch as JSON, for people and for other devices."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from edge_agent.contract.kinds import KINDS
from edge_agent.contract.limits import check, require
from edge_agent.contract.model import VERSION, Batch, ContractError, Flag, Link, Outcome, Reading

T = TypeVar("T")
_WORDS = {int: "a whole number", str: "a text", list: "a list"}


def encode_json(batch: Batch) -> bytes:
    """The same content as JSON, for people and for other devices; values stay stored integers."""
    check(batch)
    return json.dumps(describe(batch), allow_nan=False, separators=(",", ":")).encode()


def describe(batch: Batch) -> dict[str, Any]:
    """The batch as JSON values, columns by name."""
    return {
        "version": VERSION,
        "gateway": batch.gateway,
        "epoch": f"{batch.epoch:016x}",
        "first_sequence": batch.first_sequence,
        "sealed_ms": batch.sealed_ms,
        "links": [{name: getattr(link, name) for name in Link.__slots__} for link in batch.links],
        "readings": [describe_reading(reading) for reading in batch.readings],
    }


def describe_reading(reading: Reading) -> dict[str, Any]:
    """A reading as JSON values: its identity, then its columns by name."""
    columns = (column.name for column in KINDS[reading.kind].columns)
    return {
        "link": reading.link,
        "kind": reading.kind,
        "at_ms": reading.at_ms,
        "flags": [flag.name.lower() for flag in Flag if flag in reading.flags and flag.name],
        "outcome": reading.outcome.name.lower(),
        **dict(zip(columns, reading.values, strict=True)),
    }


def decode_json(data: bytes) -> Batch:
    """The batch in its JSON form; raises ContractError."""
    try:
        given = json.loads(data)
    except json.JSONDecodeError as exc:
        raise ContractError(f"not JSON: {exc}") from exc
    except UnicodeDecodeError as exc:
        raise ContractError(f"not JSON: byte {exc.start} is not UTF-8") from exc
    except ValueError:
        raise ContractError("not JSON: a number is too long") from None
    except RecursionError:
        raise ContractError("not JSON: nested too deeply") from None
    require(isinstance(given, dict), "not a JSON object")
    try:
        batch = _batch(given)
    except KeyError as exc:
        raise ContractError(f"{exc.args[0]!r} is missing") from exc
    check(batch)
    return batch


def _batch(given: Mapping[str, Any]) -> Batch:
    version = _typed(given["version"], int, "version")
    require(version == VERSION, f"version {version} is not known")
    _known(given, ("version", "links", *Batch.__slots__), "the batch")
    described = _typed(given.get("links", []), list, "links")
    for link in described:
        require(isinstance(link, dict), "a link is not an object")
        _known(link, Link.__slots__, "a link")
        require("id" in link, "a link lacks 'id'")
    links = tuple(Link(**link) for link in described)
    for link in links:
        require(
            all(
                isinstance(getattr(link, name), bool if name == "metered" else str) for name in Link.__slots__
            ),
            f"link {link.id!r} has a field of the wrong type",
        )
    return Batch(
        _typed(given["gateway"], str, "gateway"),
        _epoch(_typed(given["epoch"], str, "epoch")),
        _typed(given["first_sequence"], int, "first_sequence"),
        _typed(given["sealed_ms"], int, "sealed_ms"),
        tuple(
            _numbered(number, reading)
            for number, reading in enumerate(_typed(given["readings"], list, "readings"))
        ),
        links,
    )


def _epoch(given: str) -> int:
    try:
        return int(given, 16)
    except ValueError:
        raise ContractError(f"epoch {given[:20]!r} is not hexadecimal") from None


_READING_FIELDS = ("link", "kind", "at_ms", "flags", "outcome")


def _numbered(number: int, given: Mapping[str, Any]) -> Reading:
    """A reading whose error says which it is, counted from 0."""
    try:
        return _reading_from_json(given)
    except ContractError as exc:
        raise ContractError(f"reading {number}: {exc}") from exc
    except KeyError as exc:
        raise ContractError(f"reading {number}: {exc.args[0]!r} is missing or not known") from exc
    except (TypeError, AttributeError) as exc:
        raise ContractError(f"reading {number}: it or a field of it has the wrong type") from exc


def _reading_from_json(given: Mapping[str, Any]) -> Reading:
    kind = KINDS.get(_typed(given["kind"], str, "kind"))
    if kind is None:
        raise ContractError(f"unknown kind {given['kind']!r}")
    columns = tuple(column.name for column in kind.columns)
    _known(given, (*_READING_FIELDS, *columns), "a reading")
    flags = Flag.NONE
    for name in given.get("flags", ()):
        flags |= Flag[name.upper()]
    return Reading(
        _typed(given["link"], str, "link"),
        kind.name,
        _typed(given["at_ms"], int, "at_ms"),
        tuple(
            None if (value := given.get(column)) is None else _typed(value, int, column) for column in columns
        ),
        flags,
        Outcome[given.get("outcome", "measured").upper()],
    )


def _known(given: Mapping[str, Any], fields: Sequence[str], where: str) -> None:
    """Refuse a misspelt field: ignoring it would turn its value into a silent null."""
    unknown = sorted(given.keys() - set(fields))
    require(not unknown, f"{where} has unknown fields {unknown[:3]}")


def _typed(value: object, kind: type[T], name: str) -> T:
    require(isinstance(value, kind) and not isinstance(value, bool), f"{name} is not {_WORDS[kind]}")
    return value  # type: ignore[return-value]
