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
        """Take out up to ``limit`` items that are due, the earliest first."""
        taken: list[T] = []
        while self._order and self._order[0] <= now_ms:
            slot = self._slots[self._order[0]]
            rest = len(slot) - (limit - len(taken))
            if rest > 0:
                taken += slot[rest:]
                del slot[rest:]
                break
            taken += slot
            del self._slots[heapq.heappop(self._order)]
        return taken
