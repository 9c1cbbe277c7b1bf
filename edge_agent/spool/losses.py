"""Losses and the gap readings that tell of them (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, replace

from edge_agent.contract import Loss, Reading, row
from edge_agent.spool.ranges import Ranges
from edge_agent.spool.state import State, Told

GAP_LINK = "host"
"""The link id of what the gateway says about itself."""
MOST_MS = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Lost:
    """Numbers that will never be delivered, or (``start`` None) readings that never had one."""

    reason: Loss
    start: int | None
    end: int
    """Behind the last number, ``start`` where that is not known; the count where there is no start."""
    from_ms: int | None = None
    until_ms: int | None = None
    is_counted: bool = False
    """Whether it was counted before: a gap that was reported, and the report itself was lost."""
    epoch: int | None = None
    """Of what is lost from ``start`` on, nobody knows how much; otherwise the numbers tell."""

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
            and last.epoch is None
            and each.epoch is None
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


def counted(state: State, losses: Iterable[Lost], acked: Iterable[tuple[int, int]]) -> State:
    """Another state, which has counted what is lost or acknowledged and let go of its numbers."""
    made = copy(state)
    made.gone, made.dropped, made.epochs = state.gone.copy(), state.dropped.copy(), list(state.epochs)
    for lost in losses:
        if not lost.is_counted:
            made.unnumbered += lost.count if lost.start is None else 0
            made.dropped[lost.reason] += lost.count
        if lost.start is not None:
            made.gone.add(lost.start, lost.end)
    for start, end in acked:
        made.acked_gone += end - start
        made.gone.add(start, end)
    return made


def by_epoch(losses: Iterable[Lost], state: State) -> list[Lost]:
    """The losses, those in parts that span two epochs."""
    made = []
    for lost in losses:
        if lost.start is None or lost.end == lost.start:
            made.append(lost)
        else:
            made += [replace(lost, start=start, end=end) for start, end in state.split(lost.start, lost.end)]
    return made


def gap_reading(lost: Lost, state: State, now_ms: int) -> Reading:
    """What tells of a loss that is all of one epoch."""
    epoch = lost.epoch
    if epoch is None and lost.start is not None:
        epoch = state.epoch_of(lost.start)
    values = row(
        "gap",
        reason=int(lost.reason),
        epoch=epoch,
        first_sequence=lost.start,
        count=lost.count or None,
        from_ms=lost.from_ms,
        until_ms=lost.until_ms,
    )
    return Reading(GAP_LINK, "gap", min(max(now_ms, 0), MOST_MS), values)


def to_tell_again(told: Iterable[Told], losses: Sequence[Lost]) -> list[Lost]:
    """What gap readings told that are lost themselves, unless these losses have it already."""
    numbers = Ranges((each.start, each.end) for each in losses if each.start is not None and _is_gone(each))
    known = [each for each in losses if each.is_counted]
    found = []
    for number, *fields in told:
        lost = lost_of(fields)
        if number not in numbers:
            continue
        if lost in known:
            known.remove(lost)
        else:
            found.append(lost)
    return found


def _is_gone(lost: Lost) -> bool:
    """Thinning keeps gap readings, under other numbers."""
    return lost.reason is not Loss.THINNED and not lost.is_counted


def lost_of(fields: Sequence[int | None]) -> Lost:
    """A loss that was told, from a state."""
    reason, start, end, from_ms, until_ms, epoch = fields
    return Lost(Loss(reason or 0), start, end or 0, from_ms, until_ms, True, epoch)


def told_of(number: int, lost: Lost) -> Told:
    """A loss that the reading of this number tells, for the state."""
    return (number, int(lost.reason), lost.start, lost.end, lost.from_ms, lost.until_ms, lost.epoch)


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
        elif not count:
            found.append(Lost(Loss(reason), first, first, from_ms, until_ms, True, epoch))
        elif epoch == state.epoch_of(first):
            found.append(Lost(Loss(reason), first, first + count, from_ms, until_ms, True))
    return found


def _earliest(one: int | None, other: int | None) -> int | None:
    return min((each for each in (one, other) if each is not None), default=None)


def _latest(one: int | None, other: int | None) -> int | None:
    return max((each for each in (one, other) if each is not None), default=None)
