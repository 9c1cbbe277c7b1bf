"""Connections that are open, by where they come from: bounded for each source and for all."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Guests:
    """Connections in the order in which they came."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._open: dict[asyncio.StreamWriter, str] = {}

    def has_room(self, source: str) -> bool:
        """Whether one more of that source is within the bounds."""
        return len(self._open) < self._most and Counter(self._open.values())[source] < self._most_of_one

    @contextmanager
    def host(self, guest: asyncio.StreamWriter, source: str) -> Iterator[None]:
        """Count a connection from that source; where there is no room, the oldest is broken off for it."""
        if not self.has_room(source):
            own = [each for each, whose in self._open.items() if whose == source]
            oldest = own[0] if len(own) >= self._most_of_one else next(iter(self._open))
            oldest.transport.abort()
            del self._open[oldest]
        self._open[guest] = source
        try:
            yield
        finally:
            self._open.pop(guest, None)

    def dismiss(self) -> None:
        """Break all of them off."""
        for guest in self._open:
            guest.transport.abort()
