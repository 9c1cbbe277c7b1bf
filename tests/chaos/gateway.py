"""One life of an agent in simulated time: its real parts over a disk and a network that fail."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress

from edge_agent.config import UplinkSettings
from edge_agent.contract import Link
from edge_agent.intake import Intake
from edge_agent.spool import Spool, SpoolError
from edge_agent.taken import Taken, take
from edge_agent.timekeeping import Timekeeper
from edge_agent.uplink import Uplink
from tests.chaos.machine_clock import MachineClock
from tests.chaos.network import SimulatedPublisher
from tests.chaos.plan import Plan
from tests.chaos.power_cut_disk import LifeEnded, PowerCutDisk
from tests.chaos.time_machine import Inline
from tests.chaos.truth import CHANGED, MEASURED, Fate, Truth

GATEWAY = "gw-1"
TOPIC = "$aws/rules/demo_ingest/v1/gw-1/m"
CLOCK_WAIT_S = 60.0
FLUSH_S = 10.0
ALARMS = 0.02
"""Of the readings: how many are a change of state, which is sent at once."""


class WatchedSpool(Spool):
    """The spool, with a note of what it says that it has taken."""

    truth = Truth()

    def append(self, readings: Sequence[Taken]) -> None:
        """Keep the readings; the truth learns what came of it."""
        self.truth.note(readings, Fate.IN_DOUBT)
        try:
            super().append(readings)
        except Exception:
            self.truth.note(readings, Fate.REJECTED)
            raise
        self.truth.note(readings, Fate.ACCEPTED)


class Life:
    """From a start of the process to its end."""

    def __init__(
        self,
        plan: Plan,
        disk: PowerCutDisk,
        publisher: SimulatedPublisher,
        clock: MachineClock,
        truth: Truth,
        rng: random.Random,
        make_spool: type[WatchedSpool] = WatchedSpool,
    ) -> None:
        self._plan = plan
        self._disk = disk
        self._publisher = publisher
        self._clock = clock
        self._truth = truth
        self._rng = rng
        self._make_spool = make_spool
        self._ended = asyncio.get_running_loop().create_future()
        disk.on_end = self._note_end
        self.spool: WatchedSpool | None = None

    def _note_end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    def start(self) -> None:
        """Open all; raises SpoolError when it does not start, LifeEnded when it ends within."""
        plan = self._plan
        links = [Link(f"link-{number}", peer="far") for number in range(plan.links)]
        self.spool = spool = self._make_spool(
            self._disk,
            GATEWAY,
            links,
            plan.max_bytes,
            len(TOPIC),
            when_full=plan.when_full,
            batch_readings=plan.batch_readings,
            now_s=lambda: self._clock.wall_ms() / 1000,
            random_bits=self._rng.getrandbits,
        )
        spool.truth = self._truth
        self._time = Timekeeper(self._clock, CLOCK_WAIT_S, spool.latest_ms())
        executor = Inline()
        self._intake = Intake(spool, plan.commit_s, executor, max_waiting=plan.max_waiting)
        self._uplink = Uplink(
            spool,
            self._publisher,
            TOPIC,
            UplinkSettings(flush_s=plan.flush_s, order=plan.order, boot_delay_s=0),
            wall_ms=self._time.wall_ms,
            settle=self._time.settle,
            rng=self._rng,
            executor=executor,
        )

    async def run(self, seconds: float, measure: bool = True) -> None:
        """Live so long, or until the disk says that it is over; raises what would have ended the process."""
        works = [self._intake.run(), self._uplink.run()]
        if measure:
            works.append(self._measure())
        if self._plan.resends:
            works.append(self._ask_again())
        tasks = [asyncio.ensure_future(work) for work in works]
        try:
            await asyncio.wait([*tasks, self._ended], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def stop(self) -> None:
        """SIGTERM: persist, deliver what can be in time, let go."""
        with suppress(LifeEnded):
            await self._intake.commit()
            await self._uplink.flush(FLUSH_S)
            assert self.spool is not None
            with suppress(SpoolError):
                self.spool.close()
        self._disk.end()

    async def _measure(self) -> None:
        """Readings of every link, each period; now and then a change of state, which hurries."""
        while True:
            await asyncio.sleep(self._plan.period_s)
            look, boot = self._time.look(), self._time.boot_id()
            for number in range(self._plan.links):
                is_alarm = self._plan.alarms and self._rng.random() < ALARMS
                kind = CHANGED if is_alarm else MEASURED
                reading = self._truth.make(f"link-{number}", look.wall_ms, self._clock.true_ms(), kind=kind)
                self._intake.add(take(reading, look, boot))
                if is_alarm:
                    self._uplink.hurry()

    async def _ask_again(self) -> None:
        """The cloud asks for a range again, now and then."""
        while True:
            await asyncio.sleep(self._rng.uniform(5, 60))
            assert self.spool is not None
            try:
                stats = self.spool.stats()
            except SpoolError:
                continue
            first = self._rng.randrange(stats.accepted + 1)
            self._uplink.ask(stats.epoch, first, first + self._rng.randrange(100))
