"""The latest state of a gateway: one item, written from an Image and read back as values (pure).

The item has the gateway's name, the version of its newest batch, the state as bytes
(cloud/latest_bytes.py), and the changes of link states that no event has told of yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cloud import keys, latest_bytes, latest_legacy, link_change
from cloud.keys import ChunkId, Item
from cloud.latest_front import NOWHERE, Place
from cloud.latest_image import Image, Row, since_ms
from cloud.link_change import Change
from cloud.link_state import FELL, State
from edge_agent.contract import KINDS, ContractError, Flag, Kind, Outcome, Reading
from edge_agent.contract.table import values_of

KIND_OF = {kind.code: kind for kind in KINDS.values()}


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
        found = _series(shown)
    except (KeyError, ValueError) as exc:
        raise ContractError(f"gateway {item.get(keys.LATEST_KEY, {}).get('S', '?')}: {exc}") from exc
    front = shown.front
    conditions = {
        link: Condition(State(state & ~FELL), since_ms(since))
        for link, state, since in zip(front.links, shown.states, shown.since, strict=True)
        if state & ~FELL in _STATES
    }
    links = {
        link: Neighbour(peer, medium, capacity or None)
        for link, (peer, medium, capacity) in zip(front.links, front.said, strict=True)
        if peer or medium or capacity
    }
    return Latest(
        gateway=gateway,
        newest=newest,
        rx_ms=shown.rx_ms,
        readings=newest.first_sequence + shown.numbered,
        direct=shown.direct,
        site=front.place.site,
        series=tuple(sorted(found, key=lambda each: (each.reading.link, each.reading.kind))),
        links=links,
        conditions=conditions,
        place=front.place,
        left_out=shown.left_out,
        changes=waiting,
    )


_STATES = frozenset(State) - {State.UNKNOWN}


def _series(shown: Image) -> list[Series]:
    return [
        _unpack(KIND_OF[code], link, row)
        for code, group in shown.groups.items()
        if code in KIND_OF
        for link, row in group.rows().items()
    ]


def image(item: Item) -> Image:
    """The state in an item, to be brought up to date; raises ContractError, KeyError, ValueError."""
    if keys.BYTES in item:
        return latest_bytes.unpack(bytes(item[keys.BYTES]["B"]))
    return latest_legacy.image(item, keys.parse_version(item[keys.VERSION]["S"]))


def changes(item: Item) -> bytes:
    """The changes in an item that wait to be announced, packed; nothing when there are none."""
    return bytes(item[keys.CHANGES]["B"]) if keys.CHANGES in item else b""


def pack(gateway: str, version: str, shown: Image, waiting: bytes) -> Item:
    """The item of a state; what would not fit is taken out of it."""
    item: Item = {
        keys.LATEST_KEY: {"S": gateway},
        keys.VERSION: {"S": version},
        keys.BYTES: {"B": latest_bytes.pack(shown)},
    }
    if waiting:
        item[keys.CHANGES] = {"B": waiting}
    return item


def _unpack(kind: Kind, link: str, row: Row) -> Series:
    """The newest reading in a row; raises ContractError for what this version does not know."""
    try:
        flags, outcome, values = Flag(row.flags), Outcome(row.outcome), values_of(kind, row.content)
    except ValueError as exc:
        raise ContractError(f"latest state of {link}: {exc}") from exc
    return Series(Reading(link, kind.name, row.at_ms, values, flags, outcome), row.sent, row.lost)
