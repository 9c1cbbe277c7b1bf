"""What is due when, for thousands of items: each costs a few list operations, whatever their number."""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

T = TypeVar("T")


class Timetable(Generic[T]):
    """Items by the millisecond that they are due in; those of one millisecond are in no order."""

    def __init__(self) -> None:
        self._slots: dict[int, list[T]] = {}
        self._order: list[int] = []

    @property
    def next_ms(self) -> int | None:
        """The time of the earliest item."""
        return self._order[0] if self._order else None

    def add(self, at_ms: int, item: T) -> None:
        """Note an item for a time."""
        slot = self._slots.get(at_ms)
        if slot is None:
            self._slots[at_ms] = [item]
            heapq.heappush(self._order, at_ms)
        else:
            slot.append(item)

    def take(self, now_ms: int, limit: int) -> list[T]:
        """Take out up to ``limit`` items of the earliest time, unless that is still to come."""
        if not self._order or self._order[0] > now_ms:
            return []
        slot = self._slots[self._order[0]]
        if len(slot) > limit:
            taken = slot[-limit:]
            del slot[-limit:]
            return taken
        del self._slots[heapq.heappop(self._order)]
        return slot
