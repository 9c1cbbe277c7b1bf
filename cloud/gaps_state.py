"""What is known of a gateway's numbers: held, told lost, asked for; and how batches add to it (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from cloud.gap_ranges import Hole, Span, Told, closed_before, holes, is_held, joined, span_of, without
from cloud.keys import DAY_MS
from edge_agent.contract import Batch, Reading

MAX_EPOCHS = 16
"""Lives of a gateway's spool that are followed, the latest ones."""
MAX_SPANS, MAX_TOLD, MAX_ASKED, MAX_UNNUMBERED = 2_000, 2_000, 500, 200
"""Of all epochs together, the latest ones: each is four or five numbers, 50 B of deflated digits at the very
most, so the item stays below 250 KB of DynamoDB's 400, whatever a gateway says."""
ASKED_KEPT_MS = 7 * DAY_MS
"""How long a request is remembered, which also tells that it was answered."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, order=True)
class Asked:
    """A request to send [first, end) again."""

    at_ms: int
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Unnumbered:
    """Readings lost before they had a number."""

    told_ms: int
    reason: int
    count: int
    """0 is not known how many."""
    from_ms: int | None
    until_ms: int | None

    @property
    def order(self) -> tuple[int, ...]:
        """A total order, for times that are not known too."""
        return self.told_ms, self.reason, self.count, self.from_ms or -1, self.until_ms or -1


@dataclass(frozen=True, slots=True)
class Epoch:
    """One life of a gateway's spool, within which numbers mean one thing."""

    held: tuple[Span, ...] = ()
    told: tuple[Told, ...] = ()
    asked: tuple[Asked, ...] = ()
    given_up: int = 0
    """Numbers missing for so long, or among so many, that they are no longer looked for."""

    @property
    def holes(self) -> list[Hole]:
        """What is missing."""
        return holes(self.held, self.told)

    @property
    def last_ms(self) -> int:
        """Its latest reading held; 0 when none is."""
        return max((span.last_ms for span in self.held), default=0)

    def asked_ms(self, hole: Hole) -> int | None:
        """When any of a hole was asked for last."""
        times = [each.at_ms for each in self.asked if each.first < hole.end and each.end > hole.first]
        return max(times, default=None)

    def answered(self) -> list[Asked]:
        """Requests of which all has come, of several for the same the last."""
        last = {(each.first, each.end): each for each in sorted(self.asked)}
        return [each for each in last.values() if is_held(self.held, each.first, each.end)]


@dataclass(frozen=True, slots=True)
class Gaps:
    """What is known of one gateway."""

    gateway: str
    epochs: Mapping[int, Epoch] = field(default_factory=dict)
    unnumbered: tuple[Unnumbered, ...] = ()

    def missing(self) -> list[tuple[int, Hole]]:
        """(epoch, hole) of all that is missing, by epoch and number."""
        return [(epoch, hole) for epoch in sorted(self.epochs) for hole in self.epochs[epoch].holes]


@dataclass(frozen=True, slots=True)
class GapUpdate:
    """What batches change."""

    gaps: Gaps
    changed: bool
    missing: int
    """Readings that are missing now, for whatever reason."""
    unknown: int
    """Of them, those that nobody knows why of."""


def observe(gaps: Gaps, batches: Iterable[Batch], before_ms: int = 0) -> GapUpdate:
    """What is known after these batches of the gateway, in any order, any of them again.

    Holes from before ``before_ms`` (the stored batches around them have expired) are given up.
    """
    epochs: dict[int, Epoch] = {}
    readings: list[Reading] = []
    spans: dict[int, list[Span]] = {}
    for batch in batches:
        spans.setdefault(batch.epoch, []).append(span_of(batch))
        readings += (each for each in batch.readings if each.kind == "gap")
    told, unnumbered = _told(readings)
    for epoch in spans.keys() | told.keys():
        epochs[epoch] = Epoch(joined(spans.get(epoch, ())), tuple(told.get(epoch, ())))
    return union(gaps, Gaps(gaps.gateway, epochs, tuple(unnumbered)), before_ms)


def union(gaps: Gaps, more: Gaps, before_ms: int = 0) -> GapUpdate:
    """All that either knows of a gateway, within the bounds."""
    epochs = dict(gaps.epochs)
    for epoch, other in more.epochs.items():
        known = epochs.get(epoch, Epoch())
        epochs[epoch] = replace(
            known,
            held=joined((*known.held, *other.held)),
            told=tuple({*known.told, *other.told}),
            asked=tuple({*known.asked, *other.asked}),
        )
    lost = tuple({*gaps.unnumbered, *more.unnumbered})
    made = _bounded(Gaps(gaps.gateway, epochs, lost), before_ms)
    missing = made.missing()
    return GapUpdate(
        made,
        made != gaps,
        sum(hole.count for _, hole in missing),
        sum(hole.count for _, hole in missing if hole.reason is None),
    )


def _told(readings: Iterable[Reading]) -> tuple[dict[int, list[Told]], list[Unnumbered]]:
    """What gap readings say, by epoch, and what they say of readings without numbers."""
    told: dict[int, list[Told]] = {}
    unnumbered = []
    for reading in readings:
        reason, epoch, first, count, from_ms, until_ms = reading.values[:6]
        if reason is None:
            continue
        if epoch is None or first is None:
            # Told again after a loss of the telling it has the same times; then it is the same loss.
            told_ms = reading.at_ms if from_ms is None else from_ms
            unnumbered.append(Unnumbered(told_ms, reason, count or 0, from_ms, until_ms))
        elif count:
            told.setdefault(epoch, []).append(Told(first, first + count, reason, from_ms, until_ms))
    return told, unnumbered


def _bounded(gaps: Gaps, before_ms: int) -> Gaps:
    """Without what is too old, and what is too much: the item's size has a limit."""
    latest = sorted(gaps.epochs, key=lambda epoch: (gaps.epochs[epoch].last_ms, epoch))[-MAX_EPOCHS:]
    epochs: dict[int, Epoch] = {}
    used = [0, 0, 0]
    for older, epoch in zip(range(len(latest) - 1, -1, -1), reversed(latest), strict=True):
        known = gaps.epochs[epoch]
        if known.held and known.last_ms < before_ms:
            continue
        # Half of all is shared evenly, the rest goes to the latest ones: older holes are as real.
        spans, told, asked = (
            most - taken - older * (most // (2 * MAX_EPOCHS))
            for most, taken in zip((MAX_SPANS, MAX_TOLD, MAX_ASKED), used, strict=True)
        )
        held, given_up = closed_before(known.held, before_ms, spans)
        kept = Epoch(
            held,
            _last(_recent(without(known.told, held), before_ms), told),
            _last(sorted(_pending(known, held, before_ms)), asked),
            known.given_up + given_up,
        )
        epochs[epoch] = kept
        parts = (held, kept.told, kept.asked)
        used = [taken + len(part) for taken, part in zip(used, parts, strict=True)]
    lost = {each for each in gaps.unnumbered if each.told_ms >= before_ms}
    recent = _last(sorted(lost, key=lambda each: each.order), MAX_UNNUMBERED)
    return Gaps(gaps.gateway, dict(sorted(epochs.items())), recent)


def _pending(known: Epoch, held: Sequence[Span], before_ms: int) -> set[Asked]:
    """Requests that are not too old, but for numbers that are given up: nothing has come of them."""
    return {
        each
        for each in known.asked
        if each.at_ms >= before_ms
        and is_held(known.held, each.first, each.end) == is_held(held, each.first, each.end)
    }


def _last(items: Sequence[_T], most: int) -> tuple[_T, ...]:
    """The last items, at most so many; slices count from the end for 0 and below."""
    return tuple(items[max(len(items) - most, 0) :])


def _recent(told: Iterable[Told], before_ms: int) -> list[Told]:
    return [each for each in told if each.until_ms is None or each.until_ms >= before_ms]


def ask(gaps: Gaps, wanted: Sequence[tuple[int, Hole]], now_ms: int) -> Gaps:
    """With the note that these holes were asked for; requests that are long over are forgotten."""
    epochs = {
        epoch: replace(
            known, asked=tuple(each for each in known.asked if each.at_ms > now_ms - ASKED_KEPT_MS)
        )
        for epoch, known in gaps.epochs.items()
    }
    for epoch, hole in wanted:
        known = epochs[epoch]
        # A request that is repeated for days is one note.
        others = [each for each in known.asked if (each.first, each.end) != (hole.first, hole.end)]
        asked = tuple(sorted({*others, Asked(now_ms, hole.first, hole.end)}))[-MAX_ASKED:]
        epochs[epoch] = replace(known, asked=asked)
    return replace(gaps, epochs=epochs)


def due(
    gaps: Gaps, now_ms: int, young_ms: int, settled_ms: int, again_ms: int, most: int
) -> list[tuple[int, Hole]]:
    """The holes to ask for now, the youngest first, at most ``most``: of unknown reason, measured at least
    ``settled_ms`` ago (the rest may be on its way) and at most ``young_ms``, not asked for in ``again_ms``.
    """
    found = []
    for epoch, hole in gaps.missing():
        asked_ms = gaps.epochs[epoch].asked_ms(hole)
        is_free = asked_ms is None or now_ms - asked_ms >= again_ms
        age_ms = now_ms - (hole.until_ms or 0)
        if hole.reason is None and is_free and settled_ms <= age_ms <= young_ms:
            found.append((age_ms, epoch, hole.first, hole))
    return [(epoch, hole) for _, epoch, _, hole in sorted(found, key=lambda each: each[:3])[:most]]
