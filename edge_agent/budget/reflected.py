"""Books what a reflector answers: it has passed by then, so that a spent budget silences what comes next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from edge_agent.budget.spend import Purpose, Spend

HAND_OVER_S = 1.0
"""How often: what passes meanwhile is the most that the limit of this purpose can be exceeded by."""

Way = int | str
"""The number of an interface, or a peer's address."""


class Sums(Protocol):
    """What a reflector keeps of the bytes that passed."""

    closed: Collection[Way]

    def take(self) -> Mapping[Way, int]:
        """The sums since the last time."""
        ...


class Reflected:
    """Hands a reflector's sums over to the budget, and closes the ways on which that is spent."""

    def __init__(self, spend: Spend, meter_of: Callable[[Way], str]) -> None:
        """``meter_of`` names the metered interface of a way, "" where bytes are free."""
        self._spend = spend
        self._meter_of = meter_of

    def hand_over(self, sums: Sums) -> None:
        """Book what has passed since the last time."""
        passed = sums.take()
        meters = {way: self._meter_of(way) for way in {*passed, *sums.closed}}
        for way, size in passed.items():
            self._spend.correct(Purpose.REFLECT, size, meters[way])
        admitted = {meter: self._spend.book(Purpose.REFLECT, 0, meter) for meter in {*meters.values()}}
        sums.closed = frozenset(way for way, meter in meters.items() if not admitted[meter])

    async def run(self, sums: Sums) -> None:
        """Hand over regularly until cancelled, and then what is left."""
        try:
            while True:
                await asyncio.sleep(HAND_OVER_S)
                self.hand_over(sums)
        finally:
            self.hand_over(sums)
