"""From the reception to the broker: opens the spool, runs intake and uplink, and ends in time."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from edge_agent.composition import (
    Metering,
    make_intake,
    make_publisher,
    make_recorder,
    make_uplink,
    open_spool,
)
from edge_agent.config import Config
from edge_agent.contract import Loss
from edge_agent.intake import Intake, Recorder
from edge_agent.pulse import Pulse
from edge_agent.reception import Reception
from edge_agent.spool import Spool, SpoolError
from edge_agent.taken import Taken
from edge_agent.timekeeping import Timekeeper
from edge_agent.together import attended
from edge_agent.uplink import Uplink

FLUSH_S = 10.0
"""How long the last batches may take on SIGTERM, and all of them on SIGUSR1."""
KEEP_S = 2.0
"""How long the disk may take at the end for each of: to open, to commit what is left, to close."""
RETRY_S = 5.0
"""After so long a spool that could not be read is asked again for its newest time."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What there is once the spool is open."""

    spool: Spool
    intake: Intake
    uplink: Uplink


class DeliverySide:
    """Takes readings from the first moment, and delivers them as soon and as long as it can."""

    def __init__(
        self,
        config: Config,
        clock: Timekeeper,
        rng: random.Random,
        pulse: Pulse,
        reception: Reception,
        metering: Metering,
        *,
        is_first: bool,
        opens: Callable[[Config], Spool] = open_spool,
    ) -> None:
        """``is_first``: the process has just been started, perhaps with a whole region's."""
        self._config = config
        self._clock = clock
        self._rng = rng
        self._pulse = pulse
        self._reception = reception
        self._metering = metering
        self._is_first = is_first
        self._opens = opens
        # One thread for all work of the spool: a slow card must not hold up the probes' timing.
        self.executor: Executor = ThreadPoolExecutor(1, "spool")
        self._opening: asyncio.Future[Spool] | None = None
        self._knows_time = False
        self._recorder: Recorder | None = None
        self._held = AsyncExitStack()
        self._hurrying: asyncio.Task[None] | None = None
        self.is_all_kept = False
        """Whether ``persist`` has left nothing in memory."""
        self.parts: Parts | None = None
        """None until the spool could be opened."""

    async def start(self, record: Path | None, within_s: float) -> None:
        """Begin to open the spool, and wait a little for mistakes in the configuration to show.

        Raises SpoolBusy, SpoolUnusable or OSError; a disk that is full, slow or read-only is no mistake.
        """
        self._recorder = make_recorder(record, self._config, self._held)
        opening = self._open()
        await asyncio.wait([opening], timeout=within_s)
        if opening.done():
            opening.result()

    async def run(self) -> None:
        """Deliver until cancelled; raises SpoolBusy or SpoolUnusable when the path turns out to be wrong."""
        parts = await self._opened()
        workers = [parts.uplink.run(), self._learn_time_later(parts.spool)]
        await attended(parts.intake.run(), workers)

    def hurry(self) -> None:
        """Commit and send at once: a link has changed."""
        if self._hurrying is None or self._hurrying.done():
            self._hurrying = asyncio.ensure_future(self._hurry())

    async def flush(self, why: str) -> None:
        """Commit, seal and send all there is, as far as FLUSH_S allows, and say what came of it."""
        arrived = await self._flushed()
        log.info("%s: %s", why, "all has arrived" if arrived else "what has not arrived stays in the spool")

    async def may_let_go(self) -> bool:
        """Whether the disk answers: a spool whose disk hangs cannot be closed, nor opened by another."""
        if self.parts is None:
            return self._opening is None or self._opening.done()
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                await self.parts.intake.commit()
                return True
        return False

    async def persist(self, is_last: bool) -> list[Taken]:
        """Persist, and at last deliver, what the time allows; returns the readings still in memory."""
        if self._hurrying is not None:
            self._hurrying.cancel()
        if self._opening is not None:
            with suppress(TimeoutError, SpoolError, OSError):
                async with asyncio.timeout(KEEP_S):
                    await self._opened()
        if self.parts is None:
            left = self._reception.drain()
            self.is_all_kept = not left
        else:
            if is_last:
                await self._last_words(self.parts)
            with suppress(TimeoutError):
                async with asyncio.timeout(KEEP_S):
                    self.is_all_kept = await self.parts.intake.commit()
            left = self.parts.intake.drain()
        if is_last and not self.is_all_kept:
            log.error("the disk did not take all readings: %d or more are lost", len(left))
        return left

    async def close(self) -> None:
        """Close the spool and the connection, as far as the time allows."""
        with suppress(TimeoutError):
            async with asyncio.timeout(KEEP_S):
                await self._held.aclose()
        self.executor.shutdown(wait=False, cancel_futures=True)

    async def _last_words(self, parts: Parts) -> None:
        arrived = False
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                await parts.intake.commit()
                arrived = await parts.uplink.stop(FLUSH_S - 1)
        log.info("stopping: %s", "all has arrived" if arrived else "what has not arrived stays in the spool")

    async def _flushed(self) -> bool:
        if self.parts is None:
            return False
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                await self.parts.intake.commit()
                return await self.parts.uplink.flush(FLUSH_S)
        return False

    async def _hurry(self) -> None:
        if self.parts is not None and await self.parts.intake.commit():
            self.parts.uplink.hurry()

    # --- opening --------------------------------------------------------------------------------

    def _open(self) -> asyncio.Future[Spool]:
        loop = asyncio.get_running_loop()
        self._opening = loop.run_in_executor(self.executor, self._opens, self._config)
        return self._opening

    async def _opened(self) -> Parts:
        if self.parts is None:
            spool = await asyncio.shield(self._opening or self._open())
            with suppress(SpoolError):  # the disk is full or read-only: the intake says so
                await self._learn_time(spool)
            self.parts = self._around(spool)
        return self.parts

    async def _learn_time(self, spool: Spool) -> None:
        loop = asyncio.get_running_loop()
        self._clock.know(await loop.run_in_executor(self.executor, spool.latest_ms))
        self._knows_time = True

    async def _learn_time_later(self, spool: Spool) -> None:
        """The newest time in a spool whose disk was in the way before; then for ever nothing."""
        while not self._knows_time:
            await asyncio.sleep(RETRY_S)
            with suppress(SpoolError):
                await self._learn_time(spool)
        await asyncio.Event().wait()

    def _around(self, spool: Spool) -> Parts:
        """Intake and uplink around the spool; the intake gets what has waited for it."""
        loop = asyncio.get_running_loop()
        self._held.push_async_callback(loop.run_in_executor, self.executor, spool.close)
        uplinks: list[Uplink] = []
        publisher = make_publisher(self._config, lambda payload: uplinks[0].command(payload))
        self._held.push_async_callback(publisher.close)
        intake = make_intake(self._config, spool, self._pulse, self.executor, self._recorder)
        uplinks.append(
            make_uplink(
                self._config,
                spool,
                publisher,
                self._clock,
                self._rng,
                self._pulse,
                self.executor,
                self._metering,
                is_first=self._is_first,
            )
        )
        if self._reception.lost:
            spool_lost = loop.run_in_executor(self.executor, spool.lost, self._reception.lost, Loss.MEMORY)
            spool_lost.add_done_callback(_forget)
        self._reception.open(intake)
        return Parts(spool, intake, uplinks[0])


def _forget(lost: asyncio.Future[None]) -> None:
    """A spool that cannot even note a loss says so itself, when it is next given readings."""
    if not lost.cancelled():
        lost.exception()
