"""The agent tells how it is: a status file every few seconds, a reading of itself now and then."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping

from edge_agent import status
from edge_agent.composition import GRACE_S
from edge_agent.config import Config
from edge_agent.health import LOOK_S, Health, agent_reading
from edge_agent.pulse import Pulse
from edge_agent.spool_folder import folder_of
from edge_agent.taken import Taken
from edge_agent.timekeeping import Timekeeper

FIRST_S = 1.0
"""After so long the first status is there."""
FIRST_READING_S = 60.0
OPEN_S, METERED_S = 300.0, 3600.0
"""How often the agent's health is a reading: where bytes are free, and where they cost."""
WRITE_LIMIT_S = 5.0
"""How long a write of the status may take."""

log = logging.getLogger(__name__)


class Telling:
    """Writes the status, and adds readings of kind `agent`."""

    def __init__(
        self,
        config: Config,
        health: Health,
        clock: Timekeeper,
        meter: Callable[[], str],
        rng: random.Random,
        pulse: Pulse,
        environment: Mapping[str, str],
    ) -> None:
        self._health = health
        self._clock = clock
        self._rng = rng
        self._pulse = pulse
        self._path = status.place(environment, folder_of(config.spool.path))
        self._meter = meter
        self._fails = False

    async def write_status(self) -> None:
        """Write the status every few seconds until cancelled."""
        beat = self._pulse.watch("status", status.WRITE_S + LOOK_S + WRITE_LIMIT_S + GRACE_S)
        await asyncio.sleep(FIRST_S)
        while True:
            await self.write_once()
            beat()
            await asyncio.sleep(status.WRITE_S)

    async def write_once(self, is_stopped: bool = False) -> None:
        """Write the status now; a failure is told once."""
        now = await self._health.look(is_stopped)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(WRITE_LIMIT_S):
                await loop.run_in_executor(None, status.write, self._path, now)
        except (OSError, TimeoutError) as exc:
            if not self._fails:
                log.warning("the status cannot be written: %s: %s", self._path, exc or "the disk hangs")
            self._fails = True
        else:
            self._fails = False

    async def add_readings(self, take: Callable[[Taken], None]) -> None:
        """Take a reading of the agent's health now and then, until cancelled."""
        beat = self._pulse.watch("health", METERED_S + LOOK_S + GRACE_S)
        wait_s = FIRST_READING_S * self._rng.uniform(0.5, 1)
        while True:
            await asyncio.sleep(wait_s)
            take(self._clock.take(agent_reading(await self._health.look())))
            beat()
            wait_s = METERED_S if self._meter() else OPEN_S
