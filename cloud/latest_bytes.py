"""The bytes of a gateway's latest state: one binary value for all its links and series (pure).

A format byte, then a front part that hardly ever changes (places, names, peers, media, nominal
capacities, which series there are), and behind it columns of fixed width (little-endian) and the content
of each series. The front part is kept as bytes while nothing in it changes, so that a batch costs the
series it brings. Names share their beginning with the one before (front coding): a link of the default
fleet takes some 65 bytes with its peer, state and newest echo reading.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from cloud.keys import MIN_MS
from cloud.varint import varint
from edge_agent.contract import ContractError

FORMAT = 3
"""Formats 1 and 2 were attributes of the item: cloud/latest_legacy.py."""
MAX_BYTES = 300_000
"""An item has 400 KB at most (DynamoDB, service quotas). A link with three kinds of reading takes some 150
bytes, so this is 2,000 links, eight times as many as a batch can name: a second item would buy nothing."""
_HEAD = struct.Struct("<iIHHB")
"""Received after the base time (ms), readings numbered after the newest batch's first, series left out
(65,535 at most), links, flags."""
_DIRECT = 1
_MICRO = 1_000_000
_LONGEST_MS = (1 << 32) - 1


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


@dataclass(slots=True)
class LinkPart:
    """What is kept of a link."""

    peer: str = ""
    medium: str = ""
    capacity_kbps: int = 0
    """Nominal; 0 when nobody said."""
    state: int = 0
    """As cloud.link_state.State, and 4 when its interface fell."""
    since_s: int = 0
    """When the state began, whole seconds since 2020."""


@dataclass(slots=True)
class SeriesPart:
    """What is kept of a series: its newest reading, packed, and what its rounds say of the link."""

    at_ms: int
    content: bytes
    witness: int = 0
    loss: int = 0
    weight: int = 0


@dataclass(slots=True)
class Image:
    """The latest state of a gateway, to be changed in place."""

    rx_ms: int = 0
    direct: bool = False
    numbered: int = 0
    """Readings that the newest batch brought: the next one begins after them."""
    left_out: int = 0
    """Series that did not fit any more, when it was last too large."""
    place: Place = NOWHERE
    links: dict[str, LinkPart] = field(default_factory=dict)
    series: dict[tuple[str, int], SeriesPart] = field(default_factory=dict)
    """By link and code of the kind."""
    front: bytes | None = None
    """The front part as bytes, None when it is not known to be this one."""


_Front = tuple[Place, tuple[tuple[str, str, str, int], ...], tuple[tuple[str, int], ...]]
"""Place; name, peer, medium and capacity of each link; link and kind of each series."""


def pack(image: Image, base_ms: int) -> bytes:
    """The image as bytes, its times told from ``base_ms``, the last time of its newest batch."""
    front = image.front if image.front is not None else _pack_front(image)
    links, series = image.links.values(), image.series.values()
    ages = [min(max(base_ms - each.at_ms, 0), _LONGEST_MS) for each in series]
    head = _HEAD.pack(
        _within(image.rx_ms - base_ms, 1 << 31),
        image.numbered,
        min(image.left_out, 65_535),
        len(links),
        image.direct,
    )
    count = len(series)
    return b"".join(
        (
            bytes((FORMAT,)),
            varint(len(front)),
            front,
            head,
            bytes([each.state for each in links]),
            struct.pack(f"<{len(links)}I", *[each.since_s for each in links]),
            struct.pack(f"<{count}I", *ages),
            struct.pack(f"<{count}H", *[each.witness for each in series]),
            struct.pack(f"<{count}H", *[each.loss for each in series]),
            bytes([each.weight for each in series]),
            struct.pack(f"<{count}H", *[len(each.content) for each in series]),
            *[each.content for each in series],
        )
    )


def _within(value: int, limit: int) -> int:
    return max(min(value, limit - 1), -limit)


def unpack(data: bytes, base_ms: int) -> Image:
    """The image in bytes; raises ContractError when this version cannot read it."""
    if data[:1] != bytes((FORMAT,)):
        raise ContractError(f"its latest state has format {data[:1].hex() or 'none'}")
    try:
        return _unpack(data, base_ms)
    except (ValueError, IndexError, struct.error) as exc:
        raise ContractError("its latest state is damaged") from exc


def _unpack(data: bytes, base_ms: int) -> Image:
    reader = _Reader(data, 1)
    front = reader.take(reader.number())
    place, links, series = _parse_front(front)
    rx, numbered, left_out, count, flags = _HEAD.unpack(reader.take(_HEAD.size))
    if count != len(links):
        raise ValueError("the columns are not of these links")
    states, since = reader.column("B", count), reader.column("I", count)
    count = len(series)
    ages, witnesses = reader.column("I", count), reader.column("H", count)
    losses, weights = reader.column("H", count), reader.column("B", count)
    contents = [reader.take(length) for length in reader.column("H", count)]
    rows = zip(series, ages, contents, witnesses, losses, weights, strict=True)
    return Image(
        base_ms + rx,
        bool(flags & _DIRECT),
        numbered,
        left_out,
        place,
        {
            name: LinkPart(peer, medium, capacity, state, begun)
            for (name, peer, medium, capacity), state, begun in zip(links, states, since, strict=True)
        },
        {key: SeriesPart(base_ms - age, *rest) for key, age, *rest in rows},
        front,
    )


class _Reader:
    """Takes fields off the front of bytes; running out of them is a ValueError."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data = data
        self._at = at

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise ValueError("cut short")
        taken, self._at = self._data[self._at : end], end
        return taken

    def column(self, code: str, count: int) -> tuple[int, ...]:
        spec = f"<{count}{code}"
        return struct.unpack(spec, self.take(struct.calcsize(spec)))

    def number(self) -> int:
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def text(self, before: str = "") -> str:
        """A text that begins as the one before it does."""
        shared = self.number()
        return before.encode()[:shared].decode() + self.take(self.number()).decode()


# --- the front part -------------------------------------------------------------------------------


def _pack_front(image: Image) -> bytes:
    return b"".join(_front(image))


def _front(image: Image) -> Iterator[bytes]:
    place, links = image.place, image.links
    yield _text(place.site)
    yield _text(place.region)
    known = place.latitude is not None and place.longitude is not None
    yield bytes((known,))
    if known:
        yield struct.pack(
            "<ii", round((place.latitude or 0) * _MICRO), round((place.longitude or 0) * _MICRO)
        )
    media = list(dict.fromkeys(each.medium for each in links.values()))
    yield from _texts(media)
    yield from _texts(links)
    yield from (_text(peer, before) for before, peer in _pairs(each.peer for each in links.values()))
    for part in links.values():
        yield varint(media.index(part.medium)) + varint(part.capacity_kbps)
    position = {name: index for index, name in enumerate(links)}
    yield varint(len(image.series))
    for link, code in image.series:
        yield varint(position[link]) + bytes((code,))


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


@lru_cache(maxsize=2048)
def _parse_front(front: bytes) -> _Front:
    """The front part; kept, for it comes again with each batch."""
    reader = _Reader(front)
    site, region = reader.text(), reader.text()
    latitude = longitude = None
    if reader.take(1)[0]:
        latitude, longitude = (value / _MICRO for value in struct.unpack("<ii", reader.take(8)))
    media = _read_texts(reader, reader.number())
    names = _read_texts(reader, reader.number())
    peers = _read_texts(reader, len(names))
    links = [
        (name, peer, media[reader.number()], reader.number()) for name, peer in zip(names, peers, strict=True)
    ]
    series = [(names[reader.number()], reader.take(1)[0]) for _ in range(reader.number())]
    return Place(site, region, latitude, longitude), tuple(links), tuple(series)


def _read_texts(reader: _Reader, count: int) -> list[str]:
    texts: list[str] = []
    for _ in range(count):
        texts.append(reader.text(texts[-1] if texts else ""))
    return texts


def since_s(at_ms: int) -> int:
    """A time in ms since 1970 as whole seconds since 2020, what a LinkPart keeps."""
    return min(max((at_ms - MIN_MS) // 1000, 0), (1 << 32) - 1)


def since_ms(stored: int) -> int:
    """The time in ms since 1970 of what a LinkPart keeps."""
    return MIN_MS + stored * 1000
