"""A packed batch read again; nothing that it claims is believed before it is checked."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from edge_agent.contract.column import Kind
from edge_agent.contract.kinds import BY_CODE
from edge_agent.contract.limits import check_head, check_link, check_span, require
from edge_agent.contract.model import MAX_BODY, MAX_READINGS, VERSION, ContractError, Link
from edge_agent.contract.pack import ENVELOPE, HEAD
from edge_agent.contract.sealed import FLAGS, OUTCOMES, Bundle, Sealed, Series, bundles
from edge_agent.contract.table import Table, unplane

_STEPS = 1 << 32
_REMEMBERED, _REMEMBERED_BYTES = 2048, 2048
"""Shapes of batches that are kept, of up to so many bytes each: some 10 MB of a large fleet's."""
_LOOKED_AT = 16
"""Bytes that tell text from a batch."""
_TEXT = b"\t\n\r" + bytes(range(0x20, 0x7F))
_Named = Sequence[tuple[Kind, str]]


def open_packed(data: bytes) -> Sealed:
    """A packed batch by columns; raises ContractError, or what Python raises for damaged bytes."""
    opened = _parse(_inflate(data))
    check_head(opened.gateway, opened.epoch, opened.first_sequence, opened.sealed_ms, opened.links)
    check_span(opened.first_ms, opened.last_ms)
    return opened


def _inflate(data: bytes) -> bytes:
    if len(data) < ENVELOPE.size:
        raise ContractError(f"{len(data)} B are too few for a batch")
    version, checksum = ENVELOPE.unpack_from(data)
    if version != VERSION:
        raise ContractError(_other(data, version))
    inflate = zlib.decompressobj(-15)
    body = inflate.decompress(data[ENVELOPE.size :], MAX_BODY + 1)
    if len(body) > MAX_BODY:
        raise ContractError(f"the body inflates to more than {MAX_BODY} B")
    require(inflate.eof and not inflate.unused_data, "the deflate stream does not end with the payload")
    require(zlib.crc32(body) == checksum, "the checksum does not match")
    return body


def _other(data: bytes, version: int) -> str:
    """What is wrong with data that does not begin as a batch does: text is no batch of a newer agent."""
    if all(byte in _TEXT for byte in data[:_LOOKED_AT]):
        return "text, but no JSON object"
    return f"version {version} is not known"


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a batch is of, its numbers apart."""

    links: tuple[Link, ...]
    series: tuple[Series, ...]
    kinds: tuple[tuple[Kind, int], ...]
    """By code, with the number of readings."""
    rows: Sequence[int]
    """Of each reading, its row in the table of its kind."""
    bundles: Mapping[int, Bundle]


def _parse(body: bytes) -> Sealed:
    """What a body says. Slices may come out short: what was taken is compared with what is there later."""
    gateway, at = _text(body, 0)
    epoch, first_sequence, sealed_ms, base = HEAD.unpack_from(body, at)
    start = at + HEAD.size
    at = _after_series(body, start)
    count = int.from_bytes(body[at : at + 2], "big")
    whose, steps, flags, outcomes, tables = [at + 2 + count * number for number in (0, 1, 5, 6, 7)]
    require(tables <= len(body), "the body is cut short")
    if not 0 < count <= MAX_READINGS:
        raise ContractError(f"{count} readings, not 1 to {MAX_READINGS}")
    given_flags, given_outcomes = body[flags:outcomes], body[outcomes:tables]
    _within(given_flags, len(FLAGS), "flags value")
    _within(given_outcomes, len(OUTCOMES), "outcome")
    shape_of = _shape if steps - start <= _REMEMBERED_BYTES else _shape.__wrapped__
    shape: _Shape = shape_of(body[start:at], body[whose:steps])
    times, ordered = _times(unplane(body[steps:flags], count, 4), base)
    return Sealed(
        gateway,
        epoch,
        first_sequence,
        sealed_ms,
        shape.links,
        shape.series,
        times,
        ordered,
        given_flags,
        given_outcomes,
        _tables(body, tables, shape.kinds),
        shape.rows,
        shape.bundles,
    )


def _after_series(body: bytes, at: int) -> int:
    """Where the links and series that begin here end."""
    number, at = body[at], at + 1
    for _ in range(number):
        defined = body[at]
        at += 2 + body[at + 1]
        if defined:
            for _ in range(6):
                at += 1 + body[at]
            at += 1
    return at + 1 + 2 * body[at]


@lru_cache(maxsize=_REMEMBERED)
def _shape(section: bytes, which: bytes) -> _Shape:
    """The links and series in their section, and whose each reading is: a gateway's are mostly the same."""
    names, links, at = _links(section)
    named = _named(section, at, names)
    _within(which, len(named), "series")
    series = _series(which, named)
    places: dict[int, list[int]] = {}
    for kind, _, positions in series:
        places.setdefault(kind.code, []).extend(positions)
    rows = [0] * len(which)
    for of_kind in places.values():
        for row, position in enumerate(sorted(of_kind)):
            rows[position] = row
    kinds = tuple((BY_CODE[code], len(places[code])) for code in sorted(places))
    return _Shape(links, series, kinds, rows, bundles(series, rows))


def _text(body: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + body[at]
    return body[at + 1 : end].decode(), end


def _links(section: bytes) -> tuple[list[str], tuple[Link, ...], int]:
    names: list[str] = []
    links: list[Link] = []
    at = 1
    for _ in range(section[0]):
        defined = section[at]
        name, at = _text(section, at + 1)
        names.append(name)
        if defined:
            texts = [name]
            for _ in range(6):
                text, at = _text(section, at)
                texts.append(text)
            links.append(_link(texts, metered=bool(section[at])))
            at += 1
    return names, tuple(links), at


def _link(texts: Sequence[str], metered: bool) -> Link:
    name, peer, interface, next_hop, vlan, target, medium = texts
    return Link(name, peer, interface, next_hop, vlan, target, medium, metered)


def _named(section: bytes, at: int, names: Sequence[str]) -> _Named:
    codes, which = section[at + 1 :: 2], section[at + 2 :: 2]
    _within(which, len(names), "link")
    return [(_kind_of(code), names[link]) for code, link in zip(codes, which, strict=True)]


def _times(steps: Sequence[int], base: int) -> tuple[list[int], bool]:
    """The times, and whether they ascend for sure: they do unless a step is one back."""
    times = list(accumulate(steps, initial=base))
    del times[0]
    if times[-1] - base < _STEPS:
        return times, True
    return [base + (time - base) % _STEPS for time in times], False


def _series(which: bytes, named: _Named) -> tuple[Series, ...]:
    """The series that have readings; one that is named twice is one."""
    places: list[list[int]] = [[] for _ in named]
    for position, index in enumerate(which):
        places[index].append(position)
    found: dict[tuple[int, str], Series] = {}
    for (kind, link), positions in zip(named, places, strict=True):
        if positions:
            check_link(link)
            before = found.get((kind.code, link))
            both = sorted((*before.positions, *positions)) if before else positions
            found[kind.code, link] = Series(kind, link, both)
    return tuple(found.values())


def _tables(body: bytes, at: int, kinds: Sequence[tuple[Kind, int]]) -> dict[int, Table]:
    """The table of each kind, to the end of the body."""
    tables: dict[int, Table] = {}
    for expected, rows in kinds:
        kind, given = _kind_of(body[at]), body[at + 1]
        if kind is not expected:
            raise ContractError(f"columns of {kind.name} are out of place")
        if given > len(kind.columns):
            raise ContractError(f"{given} columns for {kind.name}")
        start, at = at + 2, at + 2 + Table.size(kind, given, rows)
        require(at <= len(body), "the body is cut short")
        tables[kind.code] = Table(kind, given, rows, body[start:at])
    if at != len(body):
        raise ContractError(f"{len(body) - at} B too many in the body")
    return tables


def _kind_of(code: int) -> Kind:
    kind = BY_CODE.get(code)
    if kind is None:
        raise ContractError(f"unknown kind code {code}")
    return kind


def _within(indices: bytes, limit: int, what: str) -> None:
    if indices and max(indices) >= limit:
        raise ContractError(f"{what} {max(indices)} of {limit}")
