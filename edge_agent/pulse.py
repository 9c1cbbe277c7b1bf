"""Whether every loop of the agent still turns: what the watchdog is fed on."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping

from edge_agent import notify

UNWATCHED_S = 120.0
"""How often the loops are looked at where no service manager waits for a sign of life."""

log = logging.getLogger(__name__)

Beat = Callable[[], None]
"""Called by a loop each time it turns."""


def no_beat() -> None:
    """For a loop that nobody watches."""


class Pulse:
    """The last turn of each loop, by a monotonic clock in seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._limits: dict[str, float] = {}
        self._turned: dict[str, float] = {}

    def watch(self, loop: str, within_s: float) -> Beat:
        """Expect a turn of the loop at least every ``within_s``, from now on."""
        self._limits[loop] = within_s

        def beat() -> None:
            self._turned[loop] = self._now()

        beat()
        return beat

    def stalled(self) -> list[str]:
        """The loops that have not turned in time."""
        now = self._now()
        return [loop for loop, limit in self._limits.items() if now - self._turned[loop] > limit]


async def feed(pulse: Pulse, environment: Mapping[str, str]) -> None:
    """Tell the service manager that all loops turn, as often as it wants to hear it, until cancelled."""
    interval_s = notify.watchdog_s(environment, os.getpid()) or UNWATCHED_S
    was_stalled: list[str] = []
    while True:
        stalled = pulse.stalled()
        if not stalled:
            notify.send(environment.get("NOTIFY_SOCKET", ""), "WATCHDOG=1")
        elif stalled != was_stalled:
            log.error("stalled: %s", ", ".join(stalled))
        was_stalled = stalled
        await asyncio.sleep(interval_s)
