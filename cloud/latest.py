"""The latest state of a gateway, one item replaced by each live batch: updates, and reading it back (pure).

A series is one binary value: a format byte, then varints (LEB128) of the reading's time, flags and
outcome, of the round trips sent and lost over the batch that brought it, and of its columns, each as
v + 1 with 0 for null, and a column that is "over" another as the difference to it (format 1: as it is).
That is a third of a DynamoDB list of numbers, and keeps ten links in one write unit. Columns are only
ever appended to a kind; a missing one reads as null.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cloud import chunk, keys
from cloud.decode import Arrival
from cloud.health import tally, total
from cloud.keys import ChunkId, Item
from cloud.validate import present_ms
from edge_agent.contract import KINDS, ContractError, Flag, Link, Outcome, Reading

_PLAIN, _FORMAT = 1, 2
"""The format that was written once, and the one that is written."""
_HEAD = 5
NAME_LENGTH = 128
ATTRIBUTES_IN_UPDATE = 100
"""Attributes set by one UpdateItem: an expression may have 4 KB (DynamoDB, service quotas)."""


@dataclass(frozen=True, slots=True)
class Series:
    """The newest reading of one kind on one link."""

    reading: Reading
    sent: int
    """Round trips tried in the live batch that brought it."""
    lost: int


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Where a link leads."""

    peer: str
    medium: str


@dataclass(frozen=True, slots=True)
class Latest:
    """The latest state of a gateway."""

    gateway: str
    newest: ChunkId
    """Identity of the newest live batch, its last time as ``first_ms``."""
    rx_ms: int
    """When that batch was received."""
    readings: int
    """Readings that its spool has numbered so far in this epoch."""
    direct: bool
    site: str
    series: tuple[Series, ...]
    links: Mapping[str, Neighbour] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Update:
    """What one invocation has to say about a gateway's latest state."""

    gateway: str
    version: str
    attributes: Item
    """Attributes to set beside the version."""
    sequences: tuple[str, ...]
    """Sequence numbers of the stream's records that it comes from."""


def update(arrivals: Sequence[Arrival], links: Mapping[str, Link], site: str = "") -> Update:
    """The live batches of one gateway as one update; the newest reading of each series wins."""
    newest = max(arrivals, key=chunk.version)
    series: dict[tuple[str, str], Series] = {}
    for arrival in sorted(arrivals, key=chunk.version):
        for found in _series_of(arrival):
            key = found.reading.kind, found.reading.link
            if key not in series or series[key].reading.at_ms <= found.reading.at_ms:
                series[key] = found
    attributes: Item = {
        "rx": {"N": str(newest.envelope.rx_ms)},
        "n": {"N": str(newest.batch.first_sequence + len(newest.batch.readings))},
        keys.SOURCE: {"S": keys.DIRECT if newest.envelope.direct else ""},
    }
    if site:
        attributes["site"] = {"S": site}
    for (kind, link), value in series.items():
        attributes[keys.series(kind, link)] = {"B": pack_series(value)}
    for link in sorted({link for _, link in series} & links.keys()):
        named = links[link]
        attributes[keys.link(link)] = {
            "L": [{"S": keys.text(named.peer, NAME_LENGTH)}, {"S": keys.text(named.medium, NAME_LENGTH)}]
        }
    sequences = tuple(arrival.envelope.position.sequence for arrival in arrivals)
    return Update(newest.batch.gateway, chunk.version(newest), attributes, sequences)


def _series_of(arrival: Arrival) -> Iterator[Series]:
    groups: dict[tuple[str, str], list[Reading]] = {}
    for reading in arrival.batch.readings:
        groups.setdefault((reading.kind, reading.link), []).append(reading)
    for readings in groups.values():
        last = max(readings, key=lambda reading: reading.at_ms)
        counted = total(each for each in map(tally, readings) if each)
        shown = Reading(
            last.link,
            last.kind,
            present_ms(arrival, last.at_ms),
            last.values,
            last.flags,
            last.outcome,
        )
        yield Series(shown, counted.sent, counted.lost)


def requests(update: Update, table: str) -> list[Item]:
    """UpdateItem arguments, in order; a failed condition means that something newer is there: success.

    The first takes the version; a state too large for one expression continues under that version,
    so that a retry after a half-made update completes it.
    """
    names = list(update.attributes)
    pages = [names[at : at + ATTRIBUTES_IN_UPDATE] for at in range(0, len(names), ATTRIBUTES_IN_UPDATE)]
    return [_request(update, table, page, first=index == 0) for index, page in enumerate(pages)]


def _request(update: Update, table: str, names: Sequence[str], first: bool) -> Item:
    assignments = [f"#{index}=:{index}" for index in range(len(names))]
    condition = "ver=:ver"
    if first:
        assignments.append("ver=:ver")
        condition = "attribute_not_exists(ver) OR ver < :ver"
    return {
        "TableName": table,
        "Key": {keys.LATEST_KEY: {"S": update.gateway}},
        "UpdateExpression": "SET " + ",".join(assignments),
        "ConditionExpression": condition,
        "ExpressionAttributeNames": {f"#{index}": name for index, name in enumerate(names)},
        "ExpressionAttributeValues": {
            ":ver": {"S": update.version},
            **{f":{index}": update.attributes[name] for index, name in enumerate(names)},
        },
    }


# --- reading it back ------------------------------------------------------------------------------


def parse(item: Item) -> Latest:
    """The state in a latest item; series of a kind that this version does not know are left out."""
    found = [
        unpack_series(kind, link, bytes(value["B"]))
        for name, value in item.items()
        if (named := keys.parse_series(name)) is not None
        for kind, link in [named]
        if kind in KINDS
    ]
    links = {
        link: Neighbour(*(str(part["S"]) for part in value["L"][:2]))
        for name, value in item.items()
        if (link := keys.parse_link(name)) is not None
    }
    return Latest(
        gateway=item[keys.LATEST_KEY]["S"],
        newest=keys.parse_version(item[keys.VERSION]["S"]),
        rx_ms=int(item["rx"]["N"]),
        readings=int(item["n"]["N"]),
        direct=item[keys.SOURCE]["S"] == keys.DIRECT,
        site=item.get("site", {}).get("S", ""),
        series=tuple(sorted(found, key=lambda each: (each.reading.link, each.reading.kind))),
        links=links,
    )


def pack_series(series: Series) -> bytes:
    """A series as bytes."""
    reading = series.reading
    head = (reading.at_ms, int(reading.flags), int(reading.outcome), series.sent, series.lost)
    values = list(_differences(reading))
    while values and not values[-1]:  # a null that is left out reads as null
        values.pop()
    return bytes([_FORMAT]) + b"".join(map(_varint, (*head, *values)))


def unpack_series(kind: str, link: str, data: bytes) -> Series:
    """The series in bytes; raises ContractError for a format or outcome that this version does not know."""
    if data[:1] not in (bytes([_PLAIN]), bytes([_FORMAT])):
        raise ContractError(f"latest state of {link} has format {data[:1].hex()}")
    numbers = list(_varints(data[1:]))
    if len(numbers) < _HEAD:
        raise ContractError(f"latest state of {link} is cut short")
    at_ms, flags, outcome, sent, lost, *stored = numbers
    width = len(KINDS[kind].columns)
    padded = (*stored, *[0] * width)[:width]
    if data[0] == _PLAIN:
        values = tuple(value - 1 if value else None for value in padded)
    else:
        values = _sums(kind, padded)
    try:
        reading = Reading(link, kind, at_ms, values, Flag(flags), Outcome(outcome))
    except ValueError as exc:
        raise ContractError(f"latest state of {link}: {exc}") from exc
    return Series(reading, sent, lost)


def _differences(reading: Reading) -> Iterator[int]:
    """The columns as they are stored: each plus 1, less the column that it is over; 0 for null."""
    columns = KINDS[reading.kind].columns
    known = {column.name: value or 0 for column, value in zip(columns, reading.values, strict=True)}
    for column, value in zip(columns, reading.values, strict=True):
        base = known.get(column.over, 0)
        yield 0 if value is None else (value - base) % (column.maximum + 1) + 1


def _sums(kind: str, stored: Sequence[int]) -> tuple[int | None, ...]:
    """The columns that _differences stored."""
    values: dict[str, int | None] = {}
    for column, value in zip(KINDS[kind].columns, stored, strict=True):
        base = values.get(column.over) or 0
        values[column.name] = (value - 1 + base) % (column.maximum + 1) if value else None
    return tuple(values.values())


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _varints(data: Iterable[int]) -> Iterator[int]:
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield value
            value = shift = 0
