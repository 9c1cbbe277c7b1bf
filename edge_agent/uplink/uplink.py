"""From the spool to the cloud: seal, publish, let go on acknowledgement, back off.

The uplink knows a Publisher, not MQTT. Nothing leaves the spool before the publisher has said that the
broker has it; what is sent twice is the same bytes under the same identity.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress

from edge_agent.budget import Purpose, Spend, Unlimited
from edge_agent.config import UplinkSettings
from edge_agent.contract import ContractError
from edge_agent.publisher import CLOSE_S, Publisher, PublishError, Traffic
from edge_agent.pulse import Beat, no_beat
from edge_agent.spool import Spool, SpoolError
from edge_agent.taken import Settle, as_taken
from edge_agent.uplink.account import Account
from edge_agent.uplink.backoff import Backoff
from edge_agent.uplink.resends import CommandError, Range, parse_command
from edge_agent.uplink.state import UplinkCounts, UplinkState
from edge_agent.uplink.window import Window

LIVE_SEALS = 2
"""What was sealed this many times ago is backlog."""
LIVE_BATCHES = 8
"""The most batches of one sealing that are live: more is what had waited."""
MANY_SEALED = 32
"""The spool seals a bounded number at a time; when it was so many, there may be more."""
REST_S = 30.0
"""A pause is slept in pieces of this, so that whoever watches sees a living loop."""


def not_metered() -> str:
    """For a way to the broker on which bytes are free."""
    return ""


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
        settle: Settle = as_taken,
        spend: Spend | None = None,
        meter: Callable[[], str] = not_metered,
        flush_s: Callable[[], float] | None = None,
        executor: Executor | None = None,
        beat: Beat = no_beat,
        boot_delay_s: float = 0.0,
    ) -> None:
        """``executor`` runs the calls to the spool, so that a slow disk does not hold up the event loop.

        ``flush_s`` is asked before each wait for the next sealing; without it, it is that of the settings.

        ``meter`` names the metered interface that the way to the broker takes now, "" for none;
        ``boot_delay_s`` is the longest random wait before the first connection.
        """
        self._spool = spool
        self._publisher = publisher
        self._wall_ms = wall_ms
        self._rng = rng
        self._settle = settle
        self._beat = beat
        self._boot_delay_s = boot_delay_s
        self._flush_s = flush_s or (lambda: settings.flush_s)
        traffic = publisher.traffic if spend is not None else Traffic
        self._state = UplinkState(wall_ms)
        self._account = Account(Unlimited() if spend is None else spend, traffic, meter)
        self._window = Window(
            spool,
            publisher,
            topic,
            settings,
            self._account,
            self._state,
            executor=executor,
            beat=beat,
        )
        self._backoff = Backoff(settings.backoff_max_s, rng)
        self._hurried = asyncio.Event()
        self._turn = asyncio.Lock()
        self._live_from: deque[int] = deque(maxlen=LIVE_SEALS)
        self._unreachable = False
        self._full_only = False
        """While nothing can be sent, or live readings may not be."""

    async def run(self) -> None:
        """Seal every ``flush_s``, publish what is sealed, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._seal_regularly())
            tasks.create_task(self._drain_forever())

    async def flush(self, within_s: float) -> bool:
        """Seal and publish all there is now; whether it arrived within the time given."""
        try:
            async with asyncio.timeout(within_s):
                await self._seal(full_only=False)
                async with self._turn:
                    return await self._drain()
        except (PublishError, SpoolError, ContractError) as exc:
            self._state.failed(exc)
            return False
        except TimeoutError:
            return False

    async def stop(self, within_s: float) -> bool:
        """Flush and close the publisher, all within the time given; whether everything arrived."""
        arrived = await self.flush(max(0.0, within_s - CLOSE_S))
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._publisher.close()
        return arrived

    def hurry(self) -> None:
        """Seal and send what is in the spool at once, as far as the back-off allows: a link has changed."""
        self._hurried.set()

    def ask(self, epoch: int, first: int, last: int) -> None:
        """Send the readings of a range again that are still held; too many ranges at a time are not taken."""
        if not self._window.resends.ask(Range(epoch, first, last)):
            self._state.deaf("the cloud asks for too much at a time")
        self._window.woken.set()

    def command(self, payload: bytes) -> None:
        """Obey a command of the cloud; one that is not understood is told once."""
        try:
            wanted = parse_command(payload)
        except CommandError as exc:
            self._state.deaf(f"a command of the cloud is not understood: {exc}")
        else:
            self.ask(wanted.epoch, wanted.first, wanted.last)

    def counts(self) -> UplinkCounts:
        """What it is doing, and what it has done."""
        return self._state.counts()

    async def _seal_regularly(self) -> None:
        # A random phase, or all gateways that got their power back together publish together for ever.
        hurried = await self._until_due(self._rng.uniform(0, self._flush_s()))
        while True:
            try:
                await self._seal(self._unreachable or (self._full_only and not hurried))
            except (SpoolError, ContractError) as exc:
                self._state.failed(exc)
            self._window.woken.set()
            hurried = await self._until_due(self._flush_s())

    async def _until_due(self, delay_s: float) -> bool:
        """Wait for the next sealing; whether it is one in a hurry."""
        with suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._hurried.wait()
        hurried = self._hurried.is_set()
        self._hurried.clear()
        return hurried

    async def _seal(self, full_only: bool) -> None:
        sealed = 0
        while made := await self._window.call(
            self._spool.seal, self._wall_ms(), settle=self._settle, full_only=full_only
        ):
            sealed += made
            if made < MANY_SEALED:
                break
        if not sealed:
            return
        self._state.spool_works()
        count = min(sealed, LIVE_BATCHES)
        newest = await self._window.call(self._spool.pending, count + LIVE_BATCHES, newest_first=True)
        ranks = sorted((each.first_sequence for each in newest), reverse=True)[:count]
        self._live_from.append(ranks[-1] if ranks else 0)
        self._window.live_from = self._live_from[0]

    async def _drain_forever(self) -> None:
        await self._rest(self._rng.uniform(0, self._boot_delay_s))
        while True:
            await self._until_woken()
            while not await self._drained():
                self._beat()
                await self._rest(self._backoff.next_s())

    async def _until_woken(self) -> None:
        while not self._window.woken.is_set():
            self._beat()
            with suppress(TimeoutError):
                async with asyncio.timeout(REST_S):
                    await self._window.woken.wait()
        self._window.woken.clear()
        self._beat()

    async def _rest(self, seconds: float) -> None:
        while seconds > 0:
            await asyncio.sleep(min(seconds, REST_S))
            self._beat()
            seconds -= REST_S

    async def _drained(self) -> bool:
        held_s = self._window.lost_after_s()
        if held_s is not None:
            # It ended while nobody published: a broker that restarts must not have its fleet back at once.
            self._backoff.failed(held_s)
            await self._rest(self._backoff.next_s())
        try:
            async with self._turn:
                await self._drain()
        except (PublishError, SpoolError) as exc:
            self._backoff.failed(self._window.lost_after_s() or 0.0)
            self._full_only = self._unreachable = True
            self._state.failed(exc)
            return False
        return True

    async def _drain(self) -> bool:
        """Whether nothing is left that could be sent."""
        left = await self._window.drain()
        self._state.spool_works()
        self._unreachable = False
        was_full_only, self._full_only = self._full_only, Purpose.LIVE in left.held
        if left.held:
            what = ", ".join(sorted(each.name.lower() for each in left.held))
            self._state.held(what)
        elif was_full_only:
            self._hurried.set()  # what waited for a full batch goes now
        return not left.held and not left.refused
