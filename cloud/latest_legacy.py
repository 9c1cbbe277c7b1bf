"""Latest items as they were once written, an attribute for each series (formats 1 and 2): read only (pure).

An attribute's value is a format byte and varints: the reading's time, flags, outcome, sent, lost and columns.
Format 1 has each column as it is, format 2 a column that is "over" another as the difference to it.
The next live batch of the gateway writes its item anew.
"""

from __future__ import annotations

from cloud import keys, latest_image
from cloud.keys import ChunkId, Item
from cloud.latest_front import Place, Said
from cloud.latest_image import Image, Row
from cloud.varint import varints
from edge_agent.contract import KINDS, ContractError

_PLAIN, _DIFFERENCES = 1, 2
_HEAD = 5
_BYTE, _WORD = (1 << 8) - 1, (1 << 32) - 1


def image(item: Item, newest: ChunkId) -> Image:
    """The state in an item of an older format; raises ContractError or KeyError for anything else."""
    said: dict[str, Said] = {}
    rows: dict[int, dict[str, Row]] = {}
    for name, value in item.items():
        if (link := keys.parse_link(name)) is not None:
            peer, medium = (str(part["S"]) for part in value["L"][:2])
            said[link] = peer, medium, 0
        elif (named := keys.parse_series(name)) is not None and named[0] in KINDS:
            kind, link = named
            rows.setdefault(KINDS[kind].code, {})[link] = _row(kind, link, bytes(value["B"]))
    found = latest_image.image(rows, said, Place(site=item.get("site", {}).get("S", "")))
    found.rx_ms, found.direct = int(item["rx"]["N"]), item[keys.SOURCE]["S"] == keys.DIRECT
    found.numbered = int(item["n"]["N"]) - newest.first_sequence
    return found


def _row(kind: str, link: str, data: bytes) -> Row:
    if data[:1] not in (bytes((_PLAIN,)), bytes((_DIFFERENCES,))):
        raise ContractError(f"latest state of {link} has format {data[:1].hex()}")
    at_ms, *rest = (*varints(data[1:]),) or (0,)
    if len(rest) < _HEAD - 1:
        raise ContractError(f"latest state of {link} is cut short")
    (flags, outcome, sent, lost), stored = rest[: _HEAD - 1], rest[_HEAD - 1 :]
    if data[0] == _PLAIN:
        stored = _differences(kind, stored)
    try:
        content = b"".join(
            number.to_bytes(column.width, "big")
            for number, column in zip(stored, KINDS[kind].columns, strict=False)
        )
    except OverflowError as exc:
        raise ContractError(f"latest state of {link} has a number that is too large") from exc
    if max(flags, outcome) > _BYTE or max(sent, lost) > _WORD or at_ms > keys.MAX_MS:
        raise ContractError(f"latest state of {link} has a number that is too large")
    # What the rounds before say of a link was not kept.
    return Row(at_ms, 0, 0, 0, flags, outcome, sent, lost, content)


def _differences(kind: str, stored: list[int]) -> list[int]:
    """The columns of format 1 as format 2 and those after it have them."""
    columns = KINDS[kind].columns
    known = {column.name: value - 1 for column, value in zip(columns, stored, strict=False) if value}
    return [
        (value - 1 - known.get(column.over, 0)) % (column.maximum + 1) + 1 if value else 0
        for column, value in zip(columns, stored, strict=False)
    ]
