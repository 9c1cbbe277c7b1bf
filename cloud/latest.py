"""The latest state of a gateway: one item, read back as values; and how a series is packed (pure).

The content of a series is varints (LEB128): the reading's flags and outcome, the round trips sent and lost
over the batch that brought it, and its columns, each as v + 1 with 0 for null, a column that is "over"
another as the difference to it. That is a third of a DynamoDB list of numbers. Columns are only ever
appended to a kind; a missing one reads as null. cloud/latest_bytes.py has what is around it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cloud import keys, latest_bytes, latest_legacy, link_change
from cloud.keys import ChunkId, Item
from cloud.latest_bytes import NOWHERE, Image, Place
from cloud.link_change import Change
from cloud.link_state import State
from cloud.varint import varints
from edge_agent.contract import KINDS, ContractError, Flag, Outcome, Reading

_HEAD = 4
_STATE = 3
"""The bits of LinkPart.state that hold the state."""
FELL = 4
"""The bit that says that its interface fell."""
KIND_OF = {kind.code: kind for kind in KINDS.values()}


def _layout(kind: str) -> tuple[tuple[int, int], ...]:
    """For each column the index of the one that it is over, -1 for none, and its modulus."""
    at = {column.name: index for index, column in enumerate(KINDS[kind].columns)}
    return tuple((at.get(column.over, -1), column.maximum + 1) for column in KINDS[kind].columns)


_LAYOUTS = {kind: _layout(kind) for kind in KINDS}


@dataclass(frozen=True, slots=True)
class Series:
    """The newest reading of one kind on one link."""

    reading: Reading
    sent: int
    """Round trips tried in the live batch that brought it."""
    lost: int


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Where a link leads, and what it is."""

    peer: str
    medium: str
    capacity_kbps: int | None = None
    """Nominal, from the registry; None when nobody said."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Whether a link is up, by the hysteresis of cloud/link_state.py, and since when."""

    state: State
    since_ms: int
    """To the second."""


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
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    """By link, of those that something is known of."""
    place: Place = NOWHERE
    left_out: int = 0
    """Series that did not fit into the item."""
    changes: tuple[Change, ...] = ()
    """Changes of state that no event has told of yet."""


def parse(item: Item) -> Latest:
    """The state in a latest item, of any format so far; series of an unknown kind are left out.

    Raises ContractError when this version cannot read it.
    """
    try:
        gateway, newest = item[keys.LATEST_KEY]["S"], keys.parse_version(item[keys.VERSION]["S"])
        shown = image(item)
        waiting = link_change.unpack_all(gateway, changes(item))
        direct_site = shown.place.site
    except (KeyError, ValueError) as exc:
        raise ContractError(f"gateway {item.get(keys.LATEST_KEY, {}).get('S', '?')}: {exc}") from exc
    found = [
        unpack_series(KIND_OF[code].name, link, part.at_ms, part.content)
        for (link, code), part in shown.series.items()
        if code in KIND_OF
    ]
    conditions = {
        link: Condition(State(part.state & _STATE), latest_bytes.since_ms(part.since_s))
        for link, part in shown.links.items()
        if part.state & _STATE
    }
    links = {
        link: Neighbour(part.peer, part.medium, part.capacity_kbps or None)
        for link, part in shown.links.items()
        if part.peer or part.medium or part.capacity_kbps
    }
    return Latest(
        gateway=gateway,
        newest=newest,
        rx_ms=shown.rx_ms,
        readings=newest.first_sequence + shown.numbered,
        direct=shown.direct,
        site=direct_site,
        series=tuple(sorted(found, key=lambda each: (each.reading.link, each.reading.kind))),
        links=links,
        conditions=conditions,
        place=shown.place,
        left_out=shown.left_out,
        changes=waiting,
    )


def image(item: Item) -> Image:
    """The state in an item, to be brought up to date; raises ContractError, KeyError, ValueError."""
    newest = keys.parse_version(item[keys.VERSION]["S"])
    if keys.BYTES in item:
        return latest_bytes.unpack(bytes(item[keys.BYTES]["B"]), newest.first_ms)
    return latest_legacy.image(item, newest)


def changes(item: Item) -> bytes:
    """The changes in an item that wait to be announced, packed; nothing when there are none."""
    return bytes(item[keys.CHANGES]["B"]) if keys.CHANGES in item else b""


def pack(gateway: str, version: str, shown: Image, waiting: bytes) -> Item:
    """The item of a state."""
    base_ms = keys.parse_version(version).first_ms
    item: Item = {
        keys.LATEST_KEY: {"S": gateway},
        keys.VERSION: {"S": version},
        keys.BYTES: {"B": latest_bytes.pack(shown, base_ms)},
    }
    if waiting:
        item[keys.CHANGES] = {"B": waiting}
    return item


def pack_series(series: Series) -> bytes:
    """The content of a series; the time of its reading is kept beside it."""
    reading = series.reading
    return pack_content(reading, series.sent, series.lost)


def pack_content(reading: Reading, sent: int, lost: int) -> bytes:
    """The content of a series from its parts: the ingest function packs some hundred thousand a second."""
    values = reading.values
    out = bytearray()
    append = out.append
    stored: list[int] = [reading.flags, reading.outcome, sent, lost]
    for value, (over, modulus) in zip(values, _LAYOUTS[reading.kind], strict=True):
        if value is None:
            stored.append(0)
        elif over < 0:
            stored.append(value + 1)
        else:
            stored.append((value - (values[over] or 0)) % modulus + 1)
    while not stored[-1] and len(stored) > _HEAD:  # a null that is left out reads as null
        stored.pop()
    for number in stored:
        while number > 0x7F:
            append(number & 0x7F | 0x80)
            number >>= 7
        append(number)
    return bytes(out)


def unpack_series(kind: str, link: str, at_ms: int, content: bytes) -> Series:
    """The series in its content; raises ContractError for an outcome that this version does not know."""
    numbers = list(varints(content))
    if len(numbers) < _HEAD:
        raise ContractError(f"latest state of {link} is cut short")
    flags, outcome, sent, lost, *stored = numbers
    width = len(KINDS[kind].columns)
    padded = (*stored, *[0] * width)[:width]
    try:
        reading = Reading(link, kind, at_ms, _sums(kind, padded), Flag(flags), Outcome(outcome))
    except ValueError as exc:
        raise ContractError(f"latest state of {link}: {exc}") from exc
    return Series(reading, sent, lost)


def _sums(kind: str, stored: tuple[int, ...]) -> tuple[int | None, ...]:
    """The columns whose differences are stored."""
    values: list[int | None] = []
    for value, (over, modulus) in zip(stored, _LAYOUTS[kind], strict=True):
        base = (values[over] or 0) if over >= 0 else 0
        values.append((value - 1 + base) % modulus if value else None)
    return tuple(values)
