"""The part of a gateway's latest state that hardly ever changes: its place, its links, its series (pure).

It is kept as bytes beside what it says, and comes again with each batch, so it is parsed once. Names share
their beginning with the one before (front coding).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from cloud.varint import varint

_MICRO = 1_000_000
_PLACE = struct.Struct("<ii")
"""Degrees north and east, millionths."""

Said = tuple[str, str, int]
"""Of a link: its peer, its medium, and its nominal capacity in kbit/s, 0 when nobody said."""
UNSAID: Said = ("", "", 0)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a gateway stands."""

    site: str = ""
    region: str = ""
    latitude: float | None = None
    """Degrees north."""
    longitude: float | None = None
    """Degrees east."""


NOWHERE = Place()


@dataclass(frozen=True, slots=True)
class Front:
    """Where a gateway stands, its links, and which kinds of reading there are of them."""

    place: Place = NOWHERE
    links: tuple[str, ...] = ()
    """By name."""
    said: tuple[Said, ...] = ()
    """Of each link."""
    groups: tuple[tuple[int, tuple[str, ...]], ...] = ()
    """Code of a kind, and the links that it measures, by name."""
    data: bytes = field(init=False, compare=False, repr=False)
    """All of it as bytes."""
    at: Mapping[str, int] = field(init=False, compare=False, repr=False)
    """Index of each link."""
    places: Mapping[int, Mapping[str, int]] = field(init=False, compare=False, repr=False)
    """By code of a kind, index of each link that it measures."""

    def __post_init__(self) -> None:
        at = _indices(self.links)
        places = {code: at if links == self.links else _indices(links) for code, links in self.groups}
        object.__setattr__(self, "at", at)
        object.__setattr__(self, "places", places)
        object.__setattr__(self, "data", b"".join(_bytes(self)))


def _indices(names: Sequence[str]) -> dict[str, int]:
    return {name: index for index, name in enumerate(names)}


def _bytes(front: Front) -> Iterator[bytes]:
    place = front.place
    yield _text(place.site)
    yield _text(place.region)
    known = place.latitude is not None and place.longitude is not None
    yield bytes((known,))
    if known:
        yield _PLACE.pack(round((place.latitude or 0) * _MICRO), round((place.longitude or 0) * _MICRO))
    media = list(dict.fromkeys(medium for _, medium, _ in front.said))
    yield from _texts(media)
    yield from _texts(front.links)
    yield from (_text(peer, before) for before, peer in _pairs(peer for peer, _, _ in front.said))
    for _, medium, capacity in front.said:
        yield varint(media.index(medium)) + varint(capacity)
    yield varint(len(front.groups))
    for code, links in front.groups:
        yield bytes((code,))
        # Nearly always it is all of them, which 0 stands for.
        indices = () if links == front.links else [front.at[link] for link in links]
        yield varint(len(indices)) + b"".join(map(varint, indices))


def _texts(texts: Iterable[str]) -> Iterator[bytes]:
    given = list(texts)
    yield varint(len(given))
    for before, each in _pairs(given):
        yield _text(each, before)


def _pairs(texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each text with the one before it."""
    before = ""
    for each in texts:
        yield before, each
        before = each


def _text(text: str, before: str = "") -> bytes:
    shared = 0
    for one, other in zip(text, before, strict=False):
        # Only ASCII is shared, so that no character is cut in two.
        if one != other or not one.isascii():
            break
        shared += 1
    rest = text[shared:].encode()
    return varint(shared) + varint(len(rest)) + rest


@lru_cache(maxsize=4096)
def parse(data: bytes) -> Front:
    """What the bytes say; raises ValueError when they are no front part."""
    reader = _Reader(data)
    site, region = reader.text(), reader.text()
    latitude = longitude = None
    if reader.take(1)[0]:
        latitude, longitude = (value / _MICRO for value in _PLACE.unpack(reader.take(_PLACE.size)))
    media = reader.texts(reader.number())
    links = tuple(reader.texts(reader.number()))
    peers = reader.texts(len(links))
    said = tuple((peer, reader.pick(media), reader.number()) for peer in peers)
    groups = tuple((reader.take(1)[0], reader.links(links)) for _ in range(reader.number()))
    if any(len(set(names)) < len(names) for names in (links, [code for code, _ in groups])):
        raise ValueError("a name is there twice")
    return Front(Place(site, region, latitude, longitude), links, said, groups)


class _Reader:
    """Takes fields off the front of bytes; running out of them is a ValueError."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise ValueError("cut short")
        taken, self._at = self._data[self._at : end], end
        return taken

    def number(self) -> int:
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
            if shift > 63:
                raise ValueError("a number is too long")

    def text(self, before: str = "") -> str:
        """A text that begins as the one before it does."""
        shared = self.number()
        return before.encode()[:shared].decode() + self.take(self.number()).decode()

    def texts(self, count: int) -> list[str]:
        texts: list[str] = []
        for _ in range(count):
            texts.append(self.text(texts[-1] if texts else ""))
        return texts

    def pick(self, texts: Sequence[str]) -> str:
        index = self.number()
        if index >= len(texts):
            raise ValueError("an index is too large")
        return texts[index]

    def links(self, names: tuple[str, ...]) -> tuple[str, ...]:
        count = self.number()
        picked = tuple(self.pick(names) for _ in range(count)) if count else names
        if not picked or len(set(picked)) < len(picked):
            raise ValueError("a kind without links, or with one twice")
        return picked


EMPTY = Front()
