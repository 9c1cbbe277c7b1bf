"""Runs each probe of each link in its time; a round becomes readings, one at least, whatever happened."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, NamedTuple

from edge_agent.clock import Clock, moved_s
from edge_agent.contract import KINDS, Flag, Outcome, Reading, not_measured
from edge_agent.grid import next_due, phases, shift
from edge_agent.pace import SLOWEST, Pace
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.probe import Measurement, Probe, ProbeError
from edge_agent.taken import Taken, take

MEASUREMENTS_MAX = 256
"""Measurements of one round at most: no probe may flood the spool."""

log = logging.getLogger(__name__)

Sink = Callable[[Taken], None]
"""Takes each reading; what it raises ends the run, for then readings would be lost."""


class Series(NamedTuple):
    """One probe of one link, every ``period_s``, each round within ``timeout_s``."""

    link: ProbedLink
    name: str
    """The probe's name in the config."""
    probe: Probe
    period_s: float
    timeout_s: float
    jitter: float = 0
    """The part of its period by which a round may be moved."""
    adaptive: bool = False
    """Whether the period follows the link (edge_agent.pace)."""

    @property
    def longest_s(self) -> float:
        """The longest time without a reading when all goes well: one round is early, the next one late."""
        return self.period_s * (SLOWEST if self.adaptive else 1) * (1 + 2 * self.jitter) + self.timeout_s


class Scheduler:
    """Runs every series on a grid of its own; none waits for another."""

    def __init__(
        self,
        series: Sequence[Series],
        clock: Clock,
        rng: random.Random,
        sink: Sink,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._series = list(series)
        self._clock = clock
        self._rng = rng
        self._sink = sink
        self._sleep = sleep
        self._outcomes: dict[tuple[str, str], Outcome] = {}

    async def run(self) -> None:
        """Run until cancelled; a round that is cancelled leaves no reading."""
        started = self._clock.monotonic()
        begins = phases([series.period_s for series in self._series], self._rng.random())
        await _together(
            self._repeat(series, started + begin) for series, begin in zip(self._series, begins, strict=True)
        )

    async def run_once(self) -> None:
        """Run one round of every series, all at the same time."""
        await _together(self._once(series) for series in self._series)

    async def _once(self, series: Series) -> None:
        await self._round(series)

    async def _repeat(self, series: Series, first: float) -> None:
        pace = Pace(series.period_s) if series.adaptive else None
        due, period_s = first, series.period_s
        while True:
            planned = due + shift(self._rng, series.jitter, period_s, series.timeout_s)
            await self._sleep(max(planned - self._clock.monotonic(), 0))
            if self._clock.monotonic() - planned < period_s:
                readings = await self._round(series)
                if pace:
                    first, period_s = due, pace.interval_s(due, readings[0])
            due = next_due(first, period_s, due, self._clock.monotonic())

    async def _round(self, series: Series) -> list[Reading]:
        begun = self._clock.look()
        measured = await self._measure(series)
        flags = Flag.CLOCK_STEPPED if moved_s(begun, self._clock.look()) else Flag.NONE
        readings = _readings(series, measured, flags)
        self._tell_change(series, readings[0].outcome, measured)
        boot = self._clock.boot_id()
        for reading in readings:
            self._sink(take(reading, begun, boot))
        return readings

    async def _measure(self, series: Series) -> list[Measurement] | ProbeError:
        limit = asyncio.timeout(series.timeout_s)
        try:
            async with limit:
                return checked(await series.probe(series.link))
        except ProbeError as error:
            return error
        except Exception as exc:  # a fault in one probe must not stop the others
            if limit.expired() and isinstance(exc, TimeoutError):
                return ProbeError(Outcome.OVERRUN, f"not finished within {series.timeout_s:g} s")
            log.debug("%s of %s failed", series.name, series.link.id, exc_info=True)
            return ProbeError(Outcome.FAILED, f"{type(exc).__name__}: {exc}")

    def _tell_change(self, series: Series, outcome: Outcome, measured: object) -> None:
        """Log when a series stops or starts measuring, not every round of it."""
        key = series.link.id, series.name
        before = self._outcomes.get(key, Outcome.MEASURED)
        self._outcomes[key] = outcome
        if outcome is before:
            return
        if outcome is Outcome.MEASURED:
            log.info("%s of %s: measured again", series.name, series.link.id)
        else:
            log.warning("%s of %s: %s: %s", series.name, series.link.id, outcome.name.lower(), measured)


async def _together(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all; the first error ends the others and is raised as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


def _readings(series: Series, measured: list[Measurement] | ProbeError, flags: Flag) -> list[Reading]:
    """What a round gives, still without its time."""
    link = series.link.id
    if isinstance(measured, ProbeError):
        return [not_measured(link, series.probe.kind, 0, measured.outcome, flags)]
    return [Reading(link, each.kind, 0, each.values, each.flags | flags) for each in measured]


def checked(measured: Measurement | Sequence[Measurement]) -> list[Measurement]:
    """What a round measured, if the contract can carry it; else ValueError, before it spoils a batch."""
    measurements = [measured] if isinstance(measured, Measurement) else list(measured)
    if not 0 < len(measurements) <= MEASUREMENTS_MAX:
        raise ValueError(f"{len(measurements)} measurements in a round, not 1 to {MEASUREMENTS_MAX}")
    for measurement in measurements:
        for column, value in zip(KINDS[measurement.kind].columns, measurement.values, strict=True):
            if value is not None and not (isinstance(value, int) and 0 <= value <= column.maximum):
                raise ValueError(f"{column.name} is {value!r}, not a whole number of 0 to {column.maximum}")
    return measurements
