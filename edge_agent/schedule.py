"""When each probe of each link runs, and what becomes of a round: one reading, whatever happened."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, NamedTuple

from edge_agent.clock import Clock
from edge_agent.contract import KINDS, Flag, Link, Outcome, Reading, not_measured
from edge_agent.probes.probe import Measurement, Probe, ProbeError

log = logging.getLogger(__name__)

Sink = Callable[[Reading], None]
"""Takes each reading; what it raises ends the run, for then readings would be lost."""


class Series(NamedTuple):
    """One probe of one link, every ``period_s``, each round within ``timeout_s``."""

    link: Link
    name: str
    """The probe's name in the config."""
    probe: Probe
    period_s: float
    timeout_s: float


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
        # A random phase: the series of a gateway, and the gateways of a fleet, do not beat as one.
        phases = [self._rng.random() * series.period_s for series in self._series]
        await _together(
            self._repeat(series, started + phase) for series, phase in zip(self._series, phases, strict=True)
        )

    async def run_once(self) -> None:
        """Run one round of every series, all at the same time."""
        await _together(self._round(series) for series in self._series)

    async def _repeat(self, series: Series, first: float) -> None:
        due = first
        while True:
            await self._sleep(max(due - self._clock.monotonic(), 0))
            if self._clock.monotonic() - due < series.period_s:
                await self._round(series)
            due = next_due(first, series.period_s, due, self._clock.monotonic())

    async def _round(self, series: Series) -> None:
        at_ms = self._clock.wall_ms()
        synced = Flag.CLOCK_SYNCED if self._clock.synced() else Flag.NONE
        measured = await self._measure(series)
        if isinstance(measured, Measurement):
            flags = measured.flags | synced
            reading = Reading(series.link.id, measured.kind, at_ms, measured.values, flags)
        else:
            outcome = measured.outcome
            reading = not_measured(series.link.id, series.probe.kind, at_ms, outcome, synced)
        self._tell_change(series, reading.outcome, str(measured))
        self._sink(reading)

    async def _measure(self, series: Series) -> Measurement | ProbeError:
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

    def _tell_change(self, series: Series, outcome: Outcome, message: str) -> None:
        """Log when a series stops or starts measuring, not every round of it."""
        key = series.link.id, series.name
        before = self._outcomes.get(key, Outcome.MEASURED)
        self._outcomes[key] = outcome
        if outcome is before:
            return
        if outcome is Outcome.MEASURED:
            log.info("%s of %s: measured again", series.name, series.link.id)
        else:
            log.warning("%s of %s: %s: %s", series.name, series.link.id, outcome.name.lower(), message)


async def _together(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all; the first error ends the others and is raised as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


def next_due(first: float, period_s: float, due: float, now: float) -> float:
    """The next time on the grid first + n x period: after ``due`` and not before ``now``.

    Rounds that a suspend or a stall has passed over are skipped, and the grid never drifts.
    """
    turn = max(round((due - first) / period_s) + 1, math.ceil((now - first) / period_s))
    return first + turn * period_s


def checked(measurement: Measurement) -> Measurement:
    """The measurement, if the contract can carry it; else ValueError, before it spoils a whole batch."""
    for column, value in zip(KINDS[measurement.kind].columns, measurement.values, strict=True):
        if value is not None and not 0 <= value <= column.maximum:
            raise ValueError(f"{column.name} {value} is not within 0 to {column.maximum}")
    return measurement
