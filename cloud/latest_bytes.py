"""A gateway's latest state as one binary value: all its links, and the newest reading of each series (pure).

A format byte; the front part (cloud/latest_front.py) behind its length; a head; then columns
(cloud/latest_columns.py): of the links, and of each kind of reading. The content of a reading is the bytes
that its row has on the wire, so the ingest function reads none of it. What does not fit into one write unit
is deflated (RFC 1951) behind the head.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from cloud import latest_columns, latest_front
from cloud.latest_image import NUMBERS, Group, Image, drop
from cloud.varint import varint
from edge_agent.contract import ContractError

FORMAT = 3
"""Formats 1 and 2 were attributes of the item: cloud/latest_legacy.py."""
MAX_BYTES = 300_000
"""An item has 400 KB at most (DynamoDB, service quotas). A link with three kinds of reading takes some 150
bytes, so this is 2,000 links, eight times as many as a batch can name: a second item would buy nothing."""
PLAIN_BYTES = 880
"""Up to so many the state is kept plain, since all that deflating could save is a write unit (1 KB)."""
_HEAD = struct.Struct("<qHHHB")
"""Received (ms), readings of the newest batch, series left out (65,535 at most), links, flags."""
_BASE = struct.Struct("<QH")
"""Of a kind: the earliest time (ms), and the bytes of a content."""
_DIRECT, _DEFLATED = 1, 2
_MAX_STATE, _MAX_INFLATED = 7, 1 << 24
_MAX_MS = (1 << 63) - 1


def pack(shown: Image) -> bytes:
    """The state as bytes; what would not fit into an item is taken out of it, the oldest series first."""
    while len(data := _pack(shown)) > MAX_BYTES:
        ages = [
            (at_ms, code, link)
            for code, given in shown.groups.items()
            for link, at_ms in zip(given.links, given.times, strict=True)
        ]
        oldest = sorted(ages)[: max(len(ages) // 16, 1)]
        drop(shown, [(code, link) for _, code, link in oldest])
        shown.left_out += len(oldest)
    return data


def _pack(shown: Image) -> bytes:
    front = shown.front
    body = b"".join(_body(shown))
    fits = len(front.data) + len(body) <= PLAIN_BYTES
    flags = _DIRECT * shown.direct | _DEFLATED * (not fits)
    head = _HEAD.pack(
        shown.rx_ms, min(shown.numbered, 65_535), min(shown.left_out, 65_535), len(front.links), flags
    )
    if not fits:
        deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
        body = deflate.compress(body) + deflate.flush()
    return b"".join((b"%c" % FORMAT, varint(len(front.data)), front.data, head, body))


def _body(shown: Image) -> Iterator[bytes]:
    if shown.front.links:
        yield latest_columns.pack((shown.states, shown.since))
    for each in shown.groups.values():
        width, base_ms = max(map(len, each.contents)), min(each.times)
        content = b"".join(each.contents)
        if len(content) != width * len(each.links):  # of an older version: nulls for what it did not know
            content = b"".join([content.ljust(width, b"\0") for content in each.contents])
        yield _BASE.pack(base_ms, width)
        yield latest_columns.pack(([at_ms - base_ms for at_ms in each.times], *each.numbers))
        yield content


def unpack(data: bytes) -> Image:
    """The state in bytes; raises ContractError when this version cannot read it."""
    if data[:1] != bytes((FORMAT,)):
        raise ContractError(f"its latest state has format {data[:1].hex() or 'none'}")
    try:
        return _unpack(data)
    except (ValueError, IndexError, struct.error, zlib.error) as exc:
        raise ContractError("its latest state is damaged") from exc


def _unpack(data: bytes) -> Image:
    length, at = _length(data)
    front = latest_front.parse(data[at : at + length])
    rx_ms, numbered, left_out, count, flags = _HEAD.unpack_from(data, at + length)
    if count != len(front.links):
        raise ValueError("the columns are not of these links")
    body = data[at + length + _HEAD.size :]
    if flags & _DEFLATED:
        inflate = zlib.decompressobj(-15)
        body = inflate.decompress(body, _MAX_INFLATED)
        if not inflate.eof or inflate.unused_data:
            raise ValueError("cut short")
    shown, at = Image(rx_ms, bool(flags & _DIRECT), numbered, left_out, front), 0
    if count:
        (shown.states, shown.since), at = latest_columns.unpack(body, 0, count)
        if max(shown.states) > _MAX_STATE:
            raise ValueError("a state is not known")
    for code, links in front.groups:
        shown.groups[code], at = _group(body, at, links)
    if at != len(body):
        raise ValueError("bytes are left")
    return shown


def _group(body: bytes, at: int, links: tuple[str, ...]) -> tuple[Group, int]:
    base_ms, width = _BASE.unpack_from(body, at)
    (ages, *numbers), at = latest_columns.unpack(body, at + _BASE.size, len(links))
    times, end = [base_ms + age for age in ages], at + width * len(links)
    if len(numbers) != NUMBERS or max(times) > _MAX_MS or end > len(body):
        raise ValueError("columns are missing, or a time is too large")
    witnesses, losses, weights, flags, outcomes, sent, lost = numbers
    contents = (
        [body[begin : begin + width] for begin in range(at, end, width)] if width else [b""] * len(links)
    )
    return Group(links, times, witnesses, losses, weights, flags, outcomes, sent, lost, contents), end


def _length(data: bytes) -> tuple[int, int]:
    """The length of the front part, a varint (LEB128) behind the format, and where the part begins."""
    value = shift = 0
    for at, byte in enumerate(data[1:11], 2):
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
    raise ValueError("cut short")
