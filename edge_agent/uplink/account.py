"""What the uplink costs, booked before it is sent and corrected by what it really was."""

from __future__ import annotations

from collections.abc import Callable

from edge_agent.budget import Purpose, Spend
from edge_agent.publisher import Traffic


class Account:
    """Books publishes and connections with a budget; the rest of the wire, keep-alives too, is CONTROL."""

    def __init__(self, spend: Spend, traffic: Callable[[], Traffic], meter: Callable[[], str]) -> None:
        """``meter`` names the interface that the way to the broker takes; "" where bytes are free."""
        self._spend = spend
        self._traffic = traffic
        self._find_meter = meter
        self._meter = meter()
        self._counted = 0
        self._booked = 0

    def book(self, purpose: Purpose, size: int) -> bool:
        """Whether these bytes may be sent."""
        self._follow()
        if not self._spend.book(purpose, size, self._meter):
            return False
        self._booked += size
        return True

    def cancel(self, purpose: Purpose, size: int) -> None:
        """Give back what was booked and not sent."""
        self._spend.correct(purpose, -size, self._meter)
        self._booked -= size

    def settle(self, in_flight: int = 0) -> None:
        """Correct by what the wire has carried; ``in_flight`` bytes are booked and still on their way."""
        self._follow()
        self._settle(in_flight)

    def _settle(self, in_flight: int) -> None:
        counted = self._traffic().both
        more = counted - self._counted - (self._booked - in_flight)
        self._counted, self._booked = counted, in_flight
        if more:
            self._spend.correct(Purpose.CONTROL, more, self._meter)

    def _follow(self) -> None:
        """What was spent so far was spent over the former interface."""
        meter = self._find_meter()
        if meter != self._meter:
            self._settle(0)
            self._meter = meter
