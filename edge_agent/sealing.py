"""How readings become batches: the row form that waits for it, the grouping and the size limit (pure)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from edge_agent.contract import (
    KINDS,
    MAX_SPAN_MS,
    Batch,
    ContractError,
    Flag,
    Outcome,
    Reading,
    check,
    encode,
)
from edge_agent.taken import Taken

BATCH_READINGS = 60
"""Readings in a full batch: 10 links, every 10 s, for a minute, in one DynamoDB write unit (1 KiB)."""

LINKS_DEFINED, LINKS_READ = 128, 127
"""Links that a batch may define, and others that it may have readings of: an index of one byte in all."""
SERIES_READ = 255
"""Pairs of link and kind in a batch, of which the index is one byte too."""

Numbered = tuple[int, Reading]
"""A reading under its sequence number."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A batch as it lies in the spool and goes over the wire."""

    first_sequence: int
    payload: bytes
    count: int
    """Readings in it."""
    last_ms: int = 0
    """When the newest of them was taken, ms."""
    urgent: bool = False
    """It says that a link changed state: it goes before all others."""


def to_row(taken: Taken | Reading) -> bytes:
    """A reading as compact JSON; raises ContractError when it breaks the contract."""
    reading = taken.reading if isinstance(taken, Taken) else taken
    _check(reading)
    row: list[object] = [
        reading.link,
        reading.kind,
        reading.at_ms,
        int(reading.flags),
        int(reading.outcome),
        *reading.values,
    ]
    if isinstance(taken, Taken) and taken.boot:
        row = [taken.boot, taken.since_boot_ms, row]
    return json.dumps(row, separators=(",", ":")).encode()


def from_row(row: bytes) -> Taken:
    """The reading of a row, from any version of the agent; raises ContractError when it is damaged."""
    try:
        given = json.loads(row)
        boot, since_boot_ms = "", 0
        if len(given) == 3 and isinstance(given[2], list):
            boot, since_boot_ms, given = given
        if not isinstance(boot, str) or not isinstance(since_boot_ms, int):
            raise ValueError("the time since the boot is no figure")
        link, kind, at_ms, flags, outcome, *values = given
        width = len(KINDS[kind].columns)
        # Columns are only ever appended: an older agent's row is short, a newer one's is long.
        padded = (*values, *(None,) * width)[:width]
        if not all(value is None or isinstance(value, int) for value in (at_ms or 0, *padded)):
            raise ValueError("a figure is not an integer")
        reading = Reading(link, kind, at_ms, padded, Flag(flags), Outcome(outcome))
        _check(reading)
    except (ValueError, TypeError, KeyError) as exc:
        raise ContractError(f"damaged row {row[:60]!r}: {exc}") from exc
    return Taken(reading, boot, since_boot_ms)


def _check(reading: Reading) -> None:
    check(Batch("gateway", 0, 0, 0, (reading,)))


def leading_group(readings: Sequence[Numbered]) -> list[Numbered]:
    """The longest start of the readings that fits one batch: consecutive, within the contract's limits.

    A gateway may have more links than a batch: then its batches have different ones.
    """
    if not readings:
        return []
    group: list[Numbered] = []
    earliest = latest = readings[0][1].at_ms
    series: set[tuple[str, str]] = set()
    links: set[str] = set()
    for sequence, reading in readings:
        earliest, latest = min(earliest, reading.at_ms), max(latest, reading.at_ms)
        series.add((reading.kind, reading.link))
        links.add(reading.link)
        follows = not group or sequence == group[-1][0] + 1
        full = len(links) > LINKS_READ or len(series) > SERIES_READ
        if not follows or full or latest - earliest > MAX_SPAN_MS:
            break
        group.append((sequence, reading))
    return group


def pack(batch: Batch, limit: int) -> list[tuple[Batch, bytes]]:
    """The batch encoded in as many parts as keep each payload within ``limit`` bytes.

    Link definitions give way first (the caller sends the rest later), then the readings are halved.
    """
    payload = encode(batch)
    if len(payload) <= limit:
        return [(batch, payload)]
    if batch.links:
        return pack(replace(batch, links=batch.links[: len(batch.links) // 2]), limit)
    half = len(batch.readings) // 2
    if half == 0:
        raise ContractError(f"one reading does not fit {limit} B")
    first = replace(batch, readings=batch.readings[:half])
    second = replace(batch, readings=batch.readings[half:], first_sequence=batch.first_sequence + half)
    return pack(first, limit) + pack(second, limit)
