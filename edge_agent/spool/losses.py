"""Losses and the gap readings that tell of them (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from edge_agent.contract import Loss, Reading, row
from edge_agent.spool.state import State

GAP_LINK = "host"
"""The link id of what the gateway says about itself."""
MOST_MS = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Lost:
    """Numbers that will never be delivered, or (``start`` None) readings that never had one."""

    reason: Loss
    start: int | None
    end: int
    """Behind the last number; the count where there is no start, 0 for unknown."""
    from_ms: int | None = None
    until_ms: int | None = None
    is_counted: bool = False
    """Whether it was counted before: a gap that was reported, and the report itself was lost."""

    @property
    def count(self) -> int:
        """Readings lost."""
        return self.end if self.start is None else self.end - self.start


def join(losses: Iterable[Lost]) -> list[Lost]:
    """As few as tell the same: neighbours become one; a former gap takes the reason of what it touches."""
    numbered = sorted(
        (each for each in losses if each.start is not None), key=lambda each: (each.start, each.end)
    )
    made: list[Lost] = []
    for each in numbered:
        last = made[-1] if made else None
        assert each.start is not None
        if (
            last
            and last.end >= each.start
            and (last.reason == each.reason or last.is_counted or each.is_counted)
        ):
            reason = each.reason if last.is_counted else last.reason
            made[-1] = replace(
                last,
                reason=reason,
                end=max(last.end, each.end),
                from_ms=_earliest(last.from_ms, each.from_ms),
                until_ms=_latest(last.until_ms, each.until_ms),
                is_counted=last.is_counted and each.is_counted,
            )
        else:
            made.append(each)
    return made + _unnumbered([each for each in losses if each.start is None])


def _unnumbered(losses: Sequence[Lost]) -> list[Lost]:
    made: dict[Loss, Lost] = {}
    for each in losses:
        first = made.get(each.reason)
        made[each.reason] = replace(first, end=first.end + each.end) if first else each
    return list(made.values())


def gap_readings(losses: Iterable[Lost], state: State, now_ms: int) -> list[Reading]:
    """A reading for each loss, two where it spans two epochs."""
    made = []
    for lost in losses:
        parts: list[tuple[int | None, int]] = [(None, lost.end)]
        if lost.start is not None:
            parts = (
                [*state.split(lost.start, lost.end)] if lost.end > lost.start else [(lost.start, lost.end)]
            )
        for start, end in parts:
            values = row(
                "gap",
                reason=int(lost.reason),
                epoch=None if start is None else state.epoch_of(start),
                first_sequence=start,
                count=(end - (start or 0)) or None,
                from_ms=lost.from_ms,
                until_ms=lost.until_ms,
            )
            made.append(Reading(GAP_LINK, "gap", min(max(now_ms, 0), MOST_MS), values))
    return made


def told_before(readings: Iterable[Reading], state: State) -> list[Lost]:
    """What the gap readings among these told, to be told again when they are lost themselves."""
    found = []
    for reading in readings:
        if reading.kind != "gap" or reading.values[0] is None:
            continue
        reason, epoch, first, count, from_ms, until_ms = reading.values[:6]
        if reason is None or reason not in list(Loss):
            continue
        if first is None:
            found.append(Lost(Loss(reason), None, count or 0, from_ms, until_ms, True))
        elif count and epoch == state.epoch_of(first):
            found.append(Lost(Loss(reason), first, first + count, from_ms, until_ms, True))
    return found


def _earliest(one: int | None, other: int | None) -> int | None:
    return min((each for each in (one, other) if each is not None), default=None)


def _latest(one: int | None, other: int | None) -> int | None:
    return max((each for each in (one, other) if each is not None), default=None)
