"""The latest state of a gateway in memory: its links, and the newest reading of each series (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cloud.keys import MIN_MS
from cloud.latest_front import EMPTY, NOWHERE, UNSAID, Front, Place, Said


class Row(NamedTuple):
    """A series: what its rounds say of the link, and its newest reading."""

    at_ms: int
    witness: int = 0
    """As cloud/link_witness.py encodes it, its mean of loss apart."""
    loss: int = 0
    weight: int = 0
    flags: int = 0
    outcome: int = 0
    sent: int = 0
    """Round trips tried in the batch that brought the reading."""
    lost: int = 0
    content: bytes = b""
    """Its columns as the wire has them: edge_agent/contract/table.py."""


NUMBERS = len(Row._fields) - 2
"""Columns of numbers beside the time."""


@dataclass(slots=True)
class Group:
    """The newest readings of one kind, by columns."""

    links: tuple[str, ...]
    """By name."""
    times: Sequence[int]
    witnesses: Sequence[int]
    losses: Sequence[int]
    weights: Sequence[int]
    flags: Sequence[int]
    outcomes: Sequence[int]
    sent: Sequence[int]
    lost: Sequence[int]
    contents: Sequence[bytes]

    @property
    def numbers(self) -> tuple[Sequence[int], ...]:
        """All columns of numbers but the times."""
        marks = self.witnesses, self.losses, self.weights, self.flags, self.outcomes
        return *marks, self.sent, self.lost

    def rows(self) -> dict[str, Row]:
        """The series by link."""
        return dict(zip(self.links, map(Row, self.times, *self.numbers, self.contents), strict=True))


@dataclass(slots=True)
class Image:
    """The latest state of a gateway, to be changed in place."""

    rx_ms: int = 0
    direct: bool = False
    numbered: int = 0
    """Readings that the newest batch brought: the next one begins after them."""
    left_out: int = 0
    """Series that did not fit any more, when it was last brought up to date."""
    front: Front = EMPTY
    states: Sequence[int] = ()
    """Of each link as cloud.link_state.State, and 4 when its interface fell."""
    since: Sequence[int] = ()
    """Of each link when its state began, whole seconds since 2020."""
    groups: dict[int, Group] = field(default_factory=dict)
    """By code of the kind."""

    def arrange(self) -> None:
        """Take the links from the groups: new ones come, those without a series go."""
        front, links = (
            self.front,
            tuple(sorted({link for each in self.groups.values() for link in each.links})),
        )
        groups = tuple((code, each.links) for code, each in self.groups.items())
        if groups == front.groups and links == front.links:
            return
        places = [front.at.get(link) for link in links]
        said = tuple(UNSAID if place is None else front.said[place] for place in places)
        self.states = [0 if place is None else self.states[place] for place in places]
        self.since = [0 if place is None else self.since[place] for place in places]
        self.front = Front(front.place, links, said, groups)

    def name(self, place: Place, said: tuple[Said, ...]) -> None:
        """Say where the gateway stands, and what its links are."""
        self.front = Front(place, self.front.links, said, self.front.groups)


def group(rows: Mapping[str, Row]) -> Group:
    """The series as columns."""
    links = tuple(sorted(rows))
    return Group(links, *zip(*(rows[link] for link in links), strict=True))


def image(rows: Mapping[int, Mapping[str, Row]], said: Mapping[str, Said], place: Place = NOWHERE) -> Image:
    """A state of series by kind and link, and of what its links are."""
    found = Image(groups={code: group(given) for code, given in rows.items() if given})
    found.arrange()
    found.name(place, tuple(said.get(link, UNSAID) for link in found.front.links))
    return found


def drop(shown: Image, series: Iterable[tuple[int, str]]) -> None:
    """Take out series, and the links that have none any more."""
    gone = set(series)
    for code, given in [*shown.groups.items()]:
        kept = {link: row for link, row in given.rows().items() if (code, link) not in gone}
        if not kept:
            del shown.groups[code]
        elif len(kept) < len(given.links):
            shown.groups[code] = group(kept)
    shown.arrange()


def since_s(at_ms: int) -> int:
    """A time in ms since 1970 as whole seconds since 2020, as an Image has them."""
    return min(max((at_ms - MIN_MS) // 1000, 0), (1 << 32) - 1)


def since_ms(stored: int) -> int:
    """The time in ms since 1970 of what an Image has."""
    return MIN_MS + stored * 1000
