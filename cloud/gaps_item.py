"""The item of a gateway's gaps: JSON, deflated, so that any tool can read it (pure)."""

from __future__ import annotations

import json
import zlib
from dataclasses import astuple, dataclass
from typing import Any

from cloud import keys
from cloud.gap_ranges import Span, Told
from cloud.gaps_state import Asked, Epoch, Gaps, Unnumbered
from cloud.keys import Item

VERSION = 1
CONTENT = "g"
REVISION = "rev"
_MOST = 8 << 20
"""Bytes that a content may inflate to."""


class GapsError(Exception):
    """An item of gaps cannot be read: of a newer version, or damaged."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Gaps as they are in the table."""

    gaps: Gaps
    revision: int
    """How often they were saved: the condition of the next saving. 0: never."""


def key(gateway: str) -> Item:
    """Key of a gateway's gaps."""
    return {keys.PARTITION: {"S": keys.gaps_partition(gateway)}, keys.SORT: {"S": keys.GAPS_SORT}}


def pack(stored: Stored, now_ms: int, keep_days: int) -> Item:
    """The item; it expires so long after it was saved last."""
    gaps = stored.gaps
    given = {
        "v": VERSION,
        "epochs": {f"{epoch:016x}": _describe(known) for epoch, known in sorted(gaps.epochs.items())},
        "unnumbered": [astuple(each) for each in gaps.unnumbered],
    }
    return {
        **key(gaps.gateway),
        CONTENT: {"B": zlib.compress(json.dumps(given, separators=(",", ":")).encode(), 9)},
        REVISION: {"N": str(stored.revision)},
        keys.EXPIRES: {"N": str((now_ms + keep_days * keys.DAY_MS) // 1000)},
    }


def _describe(epoch: Epoch) -> dict[str, Any]:
    return {
        "held": [astuple(each) for each in epoch.held],
        "told": [astuple(each) for each in epoch.told],
        "asked": [astuple(each) for each in epoch.asked],
        "given_up": epoch.given_up,
    }


def parse(item: Item) -> Stored:
    """The gaps in an item; raises GapsError."""
    try:
        gateway = keys.parse_gaps_partition(item[keys.PARTITION]["S"])
        inflater = zlib.decompressobj()
        content = inflater.decompress(bytes(item[CONTENT]["B"]), _MOST)
        given = json.loads(content)
        if inflater.unconsumed_tail or given["v"] != VERSION:
            raise ValueError("it is of another version")
        epochs = {int(name, 16): _epoch(known) for name, known in given["epochs"].items()}
        unnumbered = tuple(Unnumbered(*each) for each in given["unnumbered"])
        return Stored(Gaps(gateway, epochs, unnumbered), int(item[REVISION]["N"]))
    except (KeyError, TypeError, ValueError, AttributeError, zlib.error) as exc:
        raise GapsError(f"the gaps of {item.get(keys.PARTITION)!r} cannot be read: {exc}") from exc


def _epoch(given: dict[str, Any]) -> Epoch:
    return Epoch(
        tuple(Span(*each) for each in given["held"]),
        tuple(Told(*each) for each in given["told"]),
        tuple(Asked(*each) for each in given["asked"]),
        int(given["given_up"]),
    )
