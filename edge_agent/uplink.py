"""From the spool to the cloud: seal, publish the oldest first, let go on acknowledgement, back off.

The uplink knows a Publisher, not MQTT. Nothing leaves the spool before the publisher has said that the
broker has it; what is sent twice is the same bytes under the same identity.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import ParamSpec, Protocol, TypeVar

from edge_agent.config import UplinkSettings
from edge_agent.contract import ContractError
from edge_agent.pulse import Beat, no_beat
from edge_agent.spool import Sealed, Spool, SpoolError

P = ParamSpec("P")
T = TypeVar("T")

FIRST_BACKOFF_S = 1.0

log = logging.getLogger(__name__)


class PublishError(Exception):
    """It is not known to have arrived; the message names the endpoint and the cause. Try again."""


class PublishRefused(PublishError):
    """The broker answered that it does not take this (not authorised, quota, ...): reason code >= 128."""


class Publisher(Protocol):
    """A way to a broker, at least once."""

    async def connect(self) -> None:
        """Be connected when this returns, at once when already; raises PublishError within its timeout."""
        ...

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return when the broker has it (PUBACK); raises PublishRefused or PublishError."""
        ...

    async def close(self) -> None:
        """Disconnect and leave nothing behind."""
        ...


class Uplink:
    """Empties a spool through a publisher, for ever."""

    def __init__(
        self,
        spool: Spool,
        publisher: Publisher,
        topic: str,
        settings: UplinkSettings,
        *,
        wall_ms: Callable[[], int],
        rng: random.Random,
        executor: Executor | None = None,
        beat: Beat = no_beat,
    ) -> None:
        """``executor`` runs the calls to the spool, so that a slow disk does not hold up the event loop."""
        self._spool = spool
        self._publisher = publisher
        self._topic = topic
        self._settings = settings
        self._wall_ms = wall_ms
        self._rng = rng
        self._executor = executor
        self._beat = beat
        self._due = asyncio.Event()
        self._turn = asyncio.Lock()
        self._failures = 0
        self._state = ""
        self._spool_fails = False

    async def run(self) -> None:
        """Seal every ``flush_s``, publish what is sealed, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._seal_regularly())
            tasks.create_task(self._drain_forever())

    async def flush(self, within_s: float) -> bool:
        """Seal and publish all there is now; whether it arrived within the time given."""
        try:
            async with asyncio.timeout(within_s), self._turn:
                await self._in_executor(self._spool.seal, self._wall_ms())
                await self._drain()
        except (PublishError, SpoolError, ContractError) as exc:
            self._note_failure(exc)
            return False
        except TimeoutError:
            return False
        return True

    async def _seal_regularly(self) -> None:
        # A random phase, or all gateways that got their power back together publish together for ever.
        await asyncio.sleep(self._rng.uniform(0, self._settings.flush_s))
        while True:
            try:
                if await self._in_executor(self._spool.seal, self._wall_ms(), full_only=self._failures > 0):
                    self._spool_fails = False
            except (SpoolError, ContractError) as exc:
                self._note_failure(exc)
            self._due.set()
            await asyncio.sleep(self._settings.flush_s)

    async def _drain_forever(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            self._beat()
            while not await self._drained():
                self._beat()
                await asyncio.sleep(self._backoff_s())

    async def _drained(self) -> bool:
        try:
            async with self._turn:
                await self._drain()
        except (PublishError, SpoolError) as exc:
            self._failures += 1
            self._note_failure(exc)
            return False
        self._failures = 0
        return True

    async def _drain(self) -> None:
        while batches := await self._in_executor(self._spool.pending, self._settings.max_in_flight):
            await self._publisher.connect()
            # All answers are awaited, even after a failure: what did arrive is not sent again.
            outcomes = await asyncio.gather(*map(self._deliver, batches), return_exceptions=True)
            for outcome in outcomes:
                if outcome is not None:
                    raise outcome
            self._beat()
            self._spool_fails = False
            self._note_state("delivering", logging.INFO, "batches are being delivered")

    async def _deliver(self, batch: Sealed) -> None:
        await self._publisher.publish(self._topic, batch.payload)
        await self._in_executor(self._spool.ack, batch.first_sequence)

    def _backoff_s(self) -> float:
        """Full jitter: a random time up to an exponentially growing limit."""
        limit = min(self._settings.backoff_max_s, FIRST_BACKOFF_S * 2 ** min(self._failures, 32))
        return self._rng.uniform(0, limit)

    def _note_failure(self, exc: Exception) -> None:
        match exc:
            case PublishRefused():
                self._note_state("refused", logging.ERROR, f"the broker refuses: {exc}; batches are kept")
            case SpoolError() | ContractError():
                # Apart from the state of the broker: both may fail in turns for days.
                if not self._spool_fails:
                    log.error("uplink: the spool fails: %s; trying again", exc)
                self._spool_fails = True
            case _:
                self._note_state("unreachable", logging.WARNING, f"{exc}; batches are kept, trying again")

    def _note_state(self, state: str, level: int, message: str) -> None:
        if state != self._state:
            log.log(level, "uplink: %s", message)
        self._state = state

    async def _in_executor(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, partial(call, *args, **kwargs)
        )
