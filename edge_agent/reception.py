"""Where readings go from the first moment: to the intake, and to memory until the spool could be opened."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Protocol

from edge_agent.intake import MAX_WAITING
from edge_agent.taken import Taken


class Taker(Protocol):
    """The intake, as far as it takes readings."""

    def add(self, taken: Taken) -> None:
        """Take a reading."""
        ...


class Reception:
    """Keeps readings, the newest ones, until somebody takes them."""

    def __init__(self, carried: Iterable[Taken] = (), max_waiting: int = MAX_WAITING) -> None:
        """``carried`` is what an agent before this one could not commit."""
        self._waiting: deque[Taken] = deque(maxlen=max_waiting)
        self._taker: Taker | None = None
        self.lost = 0
        """Readings that memory had no room for."""
        for taken in carried:
            self.add(taken)

    @property
    def waiting(self) -> int:
        """Readings that nobody has taken."""
        return len(self._waiting)

    def add(self, taken: Taken) -> None:
        """Take a reading, or keep it."""
        if self._taker is not None:
            self._taker.add(taken)
            return
        self.lost += len(self._waiting) == self._waiting.maxlen
        self._waiting.append(taken)

    def open(self, taker: Taker) -> None:
        """Hand over what was kept, in order, and all that comes from now on."""
        while self._waiting:
            taker.add(self._waiting.popleft())
        self._taker = taker

    def drain(self) -> list[Taken]:
        """What nobody has taken; it is the caller's then."""
        drained = list(self._waiting)
        self._waiting.clear()
        return drained
