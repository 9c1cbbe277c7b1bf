"""The audit's look at gaps: the numbers that the table says it holds beside those that it does hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from cloud import gaps_item, keys
from cloud.audit_check import Check, merged, without
from cloud.audit_kinds import COLUMNS
from cloud.audit_rollups import HOUR_MS, Standing
from cloud.audit_wire import StoredBatch
from cloud.gaps_item import GapsError
from cloud.gaps_state import Epoch, Gaps

_REASON, _EPOCH, _FIRST, _COUNT = (
    2 + COLUMNS["gap"].index(name) for name in ("reason", "epoch", "first_sequence", "count")
)
Range = tuple[int, int]
Missing = tuple[int, int, int | None]
"""[first, end) and why, None when nobody knows."""
Life = tuple[str, int]
"""Gateway and epoch."""


@dataclass(slots=True)
class _Held:
    ranges: list[Range] = field(default_factory=list)
    timed: list[tuple[int, Range]] = field(default_factory=list)
    """The same, each with the time of its first reading, ms."""
    told: list[tuple[int, Range, int]] = field(default_factory=list)
    """Time of the batch that told (ms), numbers that are lost, why."""


@dataclass(slots=True)
class StoredGaps:
    """What the table has of gaps; chunks and items are handed in while it is read."""

    spans: Mapping[str, tuple[int, int]]
    standing: Standing
    check: Check = field(default_factory=lambda: Check("gaps"))
    _gaps: dict[str, Gaps] = field(default_factory=dict)
    _held: dict[Life, _Held] = field(default_factory=dict)

    def take(self, item: keys.Item) -> bool:
        """Take an item that belongs to the gaps; says whether it does."""
        partition = item[keys.PARTITION]["S"]
        if not partition.startswith("H#"):
            return False
        try:
            gaps = gaps_item.parse(item).gaps
        except GapsError as error:
            self.check.differ(f"item {partition}", str(error))
            return True
        if gaps.gateway in self.spans:
            self._gaps[gaps.gateway] = gaps
        return True

    def see(self, batch: StoredBatch) -> None:
        """Note the numbers of a chunk, and those that it says are lost."""
        held = self._held.setdefault((batch.gateway, batch.epoch), _Held())
        numbers = batch.first_sequence, batch.first_sequence + len(batch.readings)
        first_ms = batch.first_ms
        held.ranges.append(numbers)
        held.timed.append((first_ms, numbers))
        for each in batch.readings:
            if each.kind == "gap":
                reason, epoch, first, count = (each.content[at] for at in (_REASON, _EPOCH, _FIRST, _COUNT))
                if reason is not None and epoch is not None and first is not None and count:
                    life = self._held.setdefault((batch.gateway, epoch), _Held())
                    life.told.append((first_ms, (first, first + count), reason))

    def compare(self) -> Check:
        """Compare all that was seen, as far as the pass must have looked at it."""
        for (gateway, epoch), held in sorted(self._held.items()):
            due = [numbers for at_ms, numbers in held.timed if self._is_due(gateway, at_ms)]
            gaps = self._gaps.get(gateway)
            known = gaps.epochs.get(epoch) if gaps else None
            if known is None:
                if due:
                    self.check.differ(f"{gateway} epoch {epoch:016x}", "is missing, though hours have closed")
                else:
                    self.check.open += 1
                continue
            if known.given_up:
                self.check.open += 1
                continue
            self.check.compared += 1
            for detail in self._differences(gateway, known, held, due):
                self.check.differ(f"{gateway} epoch {epoch:016x}", detail)
        return self.check

    def _is_due(self, gateway: str, first_ms: int) -> bool:
        """Whether the pass has seen a batch that begins then."""
        hour_ms = first_ms // HOUR_MS * HOUR_MS
        closed = hour_ms + HOUR_MS <= self.standing.done_ms and first_ms >= self.standing.since_ms
        return closed and (gateway, hour_ms) not in self.standing.dirty

    def _differences(self, gateway: str, known: Epoch, held: _Held, due: list[Range]) -> Iterator[str]:
        said = merged((span.first, span.end) for span in known.held)
        for first, end in without(due, said):
            yield f"{first} to {end - 1} are stored, and it says that they are not"
        for first, end in without(said, held.ranges):
            yield f"{first} to {end - 1} are not stored, and it says that they are"
        if not all(self._is_due(gateway, at_ms) for at_ms, _, _ in held.told):
            return
        ours, theirs = (
            _missing(said, held),
            _joined((each.first, each.end, each.reason) for each in known.holes),
        )
        for first, end, reason in ours:
            if (first, end, reason) not in theirs:
                yield f"the gap {first} to {end - 1} (reason {reason}) is not in it"
        for first, end, reason in theirs:
            if (first, end, reason) not in ours:
                yield f"it has a gap {first} to {end - 1} (reason {reason}) that is none"


def _missing(said: list[Range], held: _Held) -> list[Missing]:
    """Numbers between those held, and those told to be lost, with the lowest reason told of each."""
    between = [(said[0][0], said[-1][1])] if said else []
    told = [numbers for _, numbers, _ in held.told]
    missing = without([*between, *told], said)
    edges = sorted({edge for each in (*missing, *told) for edge in each})
    found: list[Missing] = []
    for first, end in missing:
        cuts = [first, *(edge for edge in edges if first < edge < end), end]
        for low, high in pairwise(cuts):
            over = [reason for _, numbers, reason in held.told if numbers[0] <= low and high <= numbers[1]]
            found.append((low, high, min(over, default=None)))
    return _joined(found)


def _joined(parts: Iterable[Missing]) -> list[Missing]:
    """Neighbours of one reason as one."""
    found: list[Missing] = []
    for first, end, reason in sorted(parts, key=lambda each: each[:2]):
        if found and found[-1][1] == first and found[-1][2] == reason:
            found[-1] = found[-1][0], end, reason
        else:
            found.append((first, end, reason))
    return found
