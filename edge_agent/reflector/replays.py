"""Signed packets that were answered already: to repeat one needs no key."""

from __future__ import annotations

GENERATION = 8_192
"""Packets that are remembered at least; twice as many at most."""


class Replays:
    """Remembers what was answered, in two generations, of which the older goes as a whole."""

    def __init__(self) -> None:
        self._young: set[int] = set()
        self._old: set[int] = set()

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def knows(self, *packet: object) -> bool:
        """Whether this packet was answered before, as far as is remembered."""
        mark = hash(packet)
        return mark in self._young or mark in self._old

    def remember(self, *packet: object) -> None:
        """Note that this packet is answered; the oldest are forgotten for it."""
        if len(self._young) >= GENERATION:
            self._old, self._young = self._young, set()
        self._young.add(hash(packet))
