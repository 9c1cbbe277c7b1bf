"""The resident agent under one configuration: what measures, what delivers, and what tells how both are."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent import notify
from edge_agent.alarms import Alarms
from edge_agent.composition import GRACE_S, make_metering
from edge_agent.config import Config
from edge_agent.delivery import KEEP_S, DeliverySide
from edge_agent.health import Health, LastReadings
from edge_agent.link_state import ANSWERS
from edge_agent.probes import ProbeError
from edge_agent.pulse import Pulse, feed
from edge_agent.reception import Reception
from edge_agent.schedule import Scheduler
from edge_agent.series import close_probes, make_series
from edge_agent.taken import Taken
from edge_agent.telling import Telling
from edge_agent.timekeeping import Timekeeper
from edge_agent.together import attended

if TYPE_CHECKING:
    from edge_agent.reflector.reflector import Reflector

log = logging.getLogger(__name__)


@dataclass
class Lasting:
    """What outlives a reload."""

    clock: Timekeeper
    started_s: float
    """By the clock's ``monotonic``."""
    carried: list[Taken] = field(default_factory=list)
    """Readings that could not be committed before."""
    is_first: bool = True
    """Whether the process has just been started."""
    refused_reload: str = ""
    """What was wrong with a configuration that was not taken."""


class Agent:
    """One life under one configuration: started once, run once."""

    def __init__(
        self, config: Config, lasting: Lasting, rng: random.Random, environment: Mapping[str, str]
    ) -> None:
        self._config = config
        self._lasting = lasting
        self._clock = lasting.clock
        self._rng = rng
        self._environment = environment
        self._pulse = Pulse(asyncio.get_running_loop().time)
        self._reception = Reception(lasting.carried)
        self._metering = make_metering(config, self._clock)
        self._delivery = DeliverySide(
            config,
            self._clock,
            rng,
            self._pulse,
            self._reception,
            self._metering,
            is_first=lasting.is_first,
        )
        self._seen = LastReadings(self._clock.monotonic, [link.id for link in config.links])
        self._series = make_series(config, self._metering.budget)
        far = {each.link.id for each in self._series if each.probe.kind in ANSWERS}
        self._alarms = Alarms(self._take, self._delivery.hurry, self._clock.monotonic, far)
        self._health = Health(
            config,
            self._clock,
            self._seen,
            self._reception,
            self._delivery,
            self._pulse,
            started_s=lasting.started_s,
            meters=self._metering.meters,
        )
        self._telling = Telling(
            config, self._health, self._clock, self._metering.meter, rng, self._pulse, environment
        )

    async def start(self, record: Path | None, within_s: float) -> None:
        """Open what needs no network, the spool as far as the time allows.

        Raises ConfigError, SpoolError or OSError, then holds nothing.
        """
        for warning in self._config.warnings:
            log.warning("%s", warning)
        try:
            await self._delivery.start(record, within_s)
        except BaseException:
            close_probes(self._series)
            await self._delivery.persist(is_last=False)
            await self._close()
            raise
        self._health.refused_reload, self._lasting.refused_reload = self._lasting.refused_reload, ""
        self._lasting.carried, self._lasting.is_first = [], False

    async def run(self, until: Coroutine[Any, Any, Config | None]) -> Config | None:
        """Measure and deliver until told otherwise; returns the configuration to go on with, or None.

        Readings are persisted in any case, and before the end delivered as far as the time allows.
        """
        workers = [
            self._measure(),
            self._delivery.run(),
            self._metering.run(self._delivery.executor),
            feed(self._pulse, self._environment),
            self._telling.write_status(),
            self._telling.add_readings(self._take),
        ]
        reflector = await self._open_reflector()
        if reflector is not None and (reflected := self._metering.reflected()):
            workers.append(reflected.run(reflector.tally))
        following, is_last = None, True
        try:
            notify.send(self._address, "READY=1")
            log.info("%s measures %d series", self._config.gateway.name, len(self._series))
            following = await attended(until, workers)
            is_last = following is None
        finally:
            if is_last:
                notify.send(self._address, "STOPPING=1")
            else:
                notify.send(self._address, "RELOADING=1", f"MONOTONIC_USEC={_monotonic_us()}")
            close_probes(self._series)
            if reflector is not None:
                reflector.close()
            self._lasting.carried = await self._delivery.persist(is_last)
            if is_last:
                await self._telling.write_once(is_stopped=True)
            await self._close()
        return following

    @property
    def is_all_kept(self) -> bool:
        """Whether all readings were committed in the end."""
        return self._delivery.is_all_kept

    async def _close(self) -> None:
        await self._delivery.close()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(KEEP_S):
                await loop.run_in_executor(None, self._metering.close)
        except TimeoutError:
            log.error("the ledger of the data budget could not be written in time")

    async def flush(self, why: str) -> None:
        """Send all there is at once, as far as the time allows."""
        await self._delivery.flush(why)

    async def may_reload(self) -> bool:
        """Whether the spool can be handed over now; if not, says so."""
        if await self._delivery.may_let_go():
            return True
        log.error("the configuration is not reloaded: the disk of the spool does not answer")
        self.refuse_reload("the disk of the spool did not answer")
        return False

    def refuse_reload(self, why: str) -> None:
        """Remember why the configuration on disk is not the one in effect."""
        self._health.refused_reload = why

    @property
    def _address(self) -> str:
        return self._environment.get("NOTIFY_SOCKET", "")

    def _take(self, taken: Taken) -> None:
        """Take a reading of whatever part."""
        self._seen.note(taken)
        self._reception.add(taken)

    async def _measure(self) -> None:
        periods = [each.longest_s for each in self._series]
        beat = self._pulse.watch("schedule", min(periods, default=float("inf")) + GRACE_S)

        def sink(taken: Taken) -> None:
            beat()
            self._take(taken)
            self._alarms.watch(taken)

        await Scheduler(self._series, self._clock, self._rng, sink).run()
        await asyncio.Event().wait()  # no series, no end: what is in the spool is still delivered

    async def _open_reflector(self) -> Reflector | None:
        """Answer what others measure; what stands in the way of that must not stop the measuring here."""
        if not self._config.reflector.enabled:
            return None
        from edge_agent.reflector.reflector import Reflector  # most gateways answer nothing

        reflector = Reflector(self._config.reflector)
        try:
            await reflector.start()
        except ProbeError as exc:
            log.error("the reflector does not start, the agent does: %s", exc.message)
            return None
        log.info("the reflector answers STAMP on UDP port %d", self._config.reflector.port)
        return reflector


def _monotonic_us() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
