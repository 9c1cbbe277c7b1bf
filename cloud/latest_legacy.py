"""Latest items as they were once written, an attribute for each series (formats 1 and 2): read only (pure).

An attribute's value is a format byte and varints: the reading's time, flags, outcome, sent, lost and columns.
Format 1 has each column as it is, format 2 a column that is "over" another as the difference to it.
The next live batch of the gateway writes its item anew.
"""

from __future__ import annotations

from cloud import keys
from cloud.keys import ChunkId, Item
from cloud.latest_bytes import Image, LinkPart, Place, SeriesPart
from cloud.varint import varint, varints
from edge_agent.contract import KINDS, ContractError

_PLAIN, _DIFFERENCES = 1, 2
_HEAD = 5


def image(item: Item, newest: ChunkId) -> Image:
    """The state in an item of an older format; raises ContractError or KeyError for anything else."""
    found = Image(
        rx_ms=int(item["rx"]["N"]),
        direct=item[keys.SOURCE]["S"] == keys.DIRECT,
        numbered=int(item["n"]["N"]) - newest.first_sequence,
        place=Place(site=item.get("site", {}).get("S", "")),
    )
    for name, value in item.items():
        if (link := keys.parse_link(name)) is not None:
            peer, medium = (str(part["S"]) for part in value["L"][:2])
            found.links[link] = LinkPart(peer, medium)
    for name, value in item.items():
        if (named := keys.parse_series(name)) is not None and named[0] in KINDS:
            kind, link = named
            found.links.setdefault(link, LinkPart())
            found.series[link, KINDS[kind].code] = _series(kind, link, bytes(value["B"]))
    return found


def _series(kind: str, link: str, data: bytes) -> SeriesPart:
    if data[:1] not in (bytes((_PLAIN,)), bytes((_DIFFERENCES,))):
        raise ContractError(f"latest state of {link} has format {data[:1].hex()}")
    at_ms, *rest = (*varints(data[1:]),) or (0,)
    if len(rest) < _HEAD - 1:
        raise ContractError(f"latest state of {link} is cut short")
    if data[0] == _PLAIN:
        rest[_HEAD - 1 :] = _differences(kind, rest[_HEAD - 1 :])
    return SeriesPart(at_ms, b"".join(map(varint, rest)))


def _differences(kind: str, stored: list[int]) -> list[int]:
    """The columns of format 1 as format 2 and those after it have them."""
    columns = KINDS[kind].columns
    known = {column.name: value - 1 for column, value in zip(columns, stored, strict=False) if value}
    return [
        (value - 1 - known.get(column.over, 0)) % (column.maximum + 1) + 1 if value else 0
        for column, value in zip(columns, stored, strict=False)
    ]
