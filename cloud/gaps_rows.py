"""The rows of `linkview gaps`: what is missing, what was asked for and has come, by gateway (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from cloud.gap_ranges import Hole
from cloud.gaps_state import Gaps


@dataclass(frozen=True, slots=True)
class Row:
    """One run of missing readings, or of those that were asked for and came."""

    gateway: str
    epoch: int | None
    """None when the readings never had a number; ``first`` too."""
    first: int | None
    count: int
    """0 is not known how many."""
    reason: str
    from_ms: int | None
    until_ms: int | None
    asked_ms: int | None
    filled: bool


def rows(known: Iterable[Gaps]) -> list[Row]:
    """All rows by gateway, epoch and number, those without a number behind."""
    return [row for gaps in known for row in _rows(gaps)]


def _rows(gaps: Gaps) -> Iterator[Row]:
    found = []
    for number, epoch in gaps.epochs.items():
        for hole in epoch.holes:
            asked_ms = epoch.asked_ms(hole)
            found.append(
                Row(
                    gaps.gateway,
                    number,
                    hole.first,
                    hole.count,
                    hole.why,
                    hole.from_ms,
                    hole.until_ms,
                    asked_ms,
                    False,
                )
            )
        for asked in epoch.answered():
            count = asked.end - asked.first
            found.append(
                Row(gaps.gateway, number, asked.first, count, "unknown", None, None, asked.at_ms, True)
            )
    yield from sorted(found, key=lambda row: (row.epoch or 0, row.first or 0, row.asked_ms or 0))
    for lost in gaps.unnumbered:
        why = Hole(0, lost.count, lost.reason, lost.from_ms, lost.until_ms).why
        yield Row(gaps.gateway, None, None, lost.count, why, lost.from_ms, lost.until_ms, None, False)


def describe(row: Row) -> dict[str, Any]:
    """A row as JSON values."""
    numbered = row.first is not None
    return {
        "gateway": row.gateway,
        "epoch": f"{row.epoch:016x}" if row.epoch is not None else None,
        "first_sequence": row.first,
        "last_sequence": row.first + row.count - 1 if row.first is not None else None,
        "count": row.count if numbered or row.count else None,
        "reason": row.reason,
        "from_ms": row.from_ms,
        "until_ms": row.until_ms,
        "asked_ms": row.asked_ms,
        "filled": row.filled,
    }
