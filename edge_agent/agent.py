"""The resident agent: puts the parts together, keeps them running, obeys signals."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

from edge_agent import notify
from edge_agent.clock import Clock, SystemClock
from edge_agent.config import Config, ConfigError
from edge_agent.contract import Reading
from edge_agent.intake import Intake, Recorder
from edge_agent.probes import ProbeError
from edge_agent.pulse import Pulse
from edge_agent.schedule import Scheduler
from edge_agent.series import close_probes, make_series
from edge_agent.spool import Spool, SpoolError
from edge_agent.uplink import Publisher, Uplink

T = TypeVar("T")
Load = Callable[[], Config]
Signals = asyncio.Queue[signal.Signals]

STOP_FLUSH_S = 10.0
"""How long the last batches may take on SIGTERM, and all of them on SIGUSR1."""
GRACE_S = 120.0
"""How late a loop may be before the watchdog calls it stalled: longer than every timeout in it."""

log = logging.getLogger(__name__)


async def supervise(load: Load, environment: Mapping[str, str], record: Path | None = None) -> None:
    """Run the agent until SIGTERM or SIGINT; on SIGHUP anew, with the new configuration if it is valid.

    Raises ConfigError, SpoolError or OSError when it cannot start; a new configuration that cannot
    start gives way to the old one.
    """
    signals = _listen()
    config: Config | None = load()
    former: Config | None = None
    while config is not None:
        agent = Agent(config, SystemClock(), random.Random(), environment)
        try:
            await agent.start(record)
        except (ConfigError, SpoolError, OSError) as exc:
            if former is None:
                raise
            log.error("the new configuration does not start: %s; back to the old one", exc)
            config, former = former, None
            continue
        config, former = await agent.run(signals, load), config


def _listen() -> Signals:
    """A queue of the signals that control the agent."""
    loop, signals = asyncio.get_running_loop(), Signals()
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        loop.add_signal_handler(each, signals.put_nowait, each)
    return signals


class Agent:
    """One life under one configuration: started once, run once."""

    def __init__(
        self, config: Config, clock: Clock, rng: random.Random, environment: Mapping[str, str]
    ) -> None:
        self._config = config
        self._clock = clock
        self._rng = rng
        self._environment = environment
        self._pulse = Pulse(asyncio.get_running_loop().time)
        self._held = AsyncExitStack()
        """What is open, closed in reverse order."""

    async def start(self, record: Path | None = None) -> None:
        """Open all that needs no network; raises ConfigError, SpoolError or OSError, then holds nothing."""
        for warning in self._config.warnings:
            log.warning("%s", warning)
        try:
            await self._open(record)
        except BaseException:
            await self._held.aclose()
            raise

    async def _open(self, record: Path | None) -> None:
        config, held = self._config, self._held
        # One thread for all work of the spool: a slow card must not hold up the probes' timing.
        executor = ThreadPoolExecutor(1, "spool")
        held.callback(executor.shutdown)
        recorder = Recorder(record, config.gateway.name) if record else None
        if recorder:
            held.callback(recorder.close)
        loop = asyncio.get_running_loop()
        spool = await loop.run_in_executor(executor, open_spool, config)
        held.push_async_callback(loop.run_in_executor, executor, spool.close)
        publisher = make_publisher(config)
        held.push_async_callback(publisher.close)
        beat = self._pulse.watch("commit", config.spool.commit_s + GRACE_S)
        self._intake = Intake(spool, config.spool.commit_s, executor, recorder=recorder, beat=beat)
        self._uplink = Uplink(
            spool,
            publisher,
            config.topic,
            config.uplink,
            wall_ms=self._clock.wall_ms,
            rng=self._rng,
            executor=executor,
            beat=self._pulse.watch("uplink", config.uplink.flush_s + config.uplink.backoff_max_s + GRACE_S),
        )
        self._series = make_series(config)
        held.callback(close_probes, self._series)
        if config.reflector.enabled:
            await self._open_reflector()

    async def _open_reflector(self) -> None:
        """Answer what others measure; what stands in the way of that must not stop the measuring here."""
        from edge_agent.reflector.reflector import Reflector  # most gateways answer nothing

        reflector = Reflector(self._config.reflector)
        try:
            await reflector.start()
        except ProbeError as exc:
            log.error("the reflector does not start, the agent does: %s", exc.message)
            return
        self._held.callback(reflector.close)
        log.info("the reflector answers STAMP on UDP port %d", self._config.reflector.port)

    async def run(self, signals: Signals, load: Load) -> Config | None:
        """Measure and deliver until told otherwise; returns the configuration to go on with, or None.

        Readings are persisted in any case, and before the end delivered as far as STOP_FLUSH_S allows.
        """
        workers = [self._intake.run(), self._uplink.run(), self._feed_watchdog(), self._measure()]
        following = None
        try:
            notify.send(self._address, "READY=1")
            log.info("%s measures %d series", self._config.gateway.name, len(self._series))
            following = await _attended(self._obey(signals, load), workers)
            if following is None:
                notify.send(self._address, "STOPPING=1")
                await self._flush("stopping")
        finally:
            if not await self._intake.commit():
                log.error("%d readings could not be kept", self._intake.waiting)
            await self._held.aclose()
        return following

    @property
    def _address(self) -> str:
        return self._environment.get("NOTIFY_SOCKET", "")

    async def _measure(self) -> None:
        periods = [each.longest_s for each in self._series]
        beat = self._pulse.watch("schedule", min(periods, default=float("inf")) + GRACE_S)

        def sink(reading: Reading) -> None:
            beat()
            self._intake.add(reading)

        await Scheduler(self._series, self._clock, self._rng, sink).run()
        await asyncio.Event().wait()  # no series, no end: what is in the spool is still delivered

    async def _obey(self, signals: Signals, load: Load) -> Config | None:
        while True:
            match await signals.get():
                case signal.SIGUSR1:
                    await self._flush("flushed on request")
                case signal.SIGHUP:
                    config = _reloaded(load)
                    if config is not None:
                        notify.send(self._address, "RELOADING=1", f"MONOTONIC_USEC={_monotonic_us()}")
                        return config
                case _:
                    return None

    async def _flush(self, why: str) -> None:
        await self._intake.commit()
        arrived = await self._uplink.flush(STOP_FLUSH_S)
        log.info("%s: %s", why, "all has arrived" if arrived else "what has not arrived stays in the spool")

    async def _feed_watchdog(self) -> None:
        interval_s = notify.watchdog_s(self._environment, os.getpid()) or GRACE_S
        was_stalled: list[str] = []
        while True:
            stalled = self._pulse.stalled()
            if not stalled:
                notify.send(self._address, "WATCHDOG=1")
            elif stalled != was_stalled:
                log.error("stalled: %s", ", ".join(stalled))
            was_stalled = stalled
            await asyncio.sleep(interval_s)


def open_spool(config: Config) -> Spool:
    """The spool that the configuration names; raises SpoolBusy or SpoolUnusable."""
    return Spool(
        config.spool.path,
        config.gateway.name,
        [link.link for link in config.links],
        config.spool.max_mib << 20,
        len(config.topic.encode()),
    )


def make_publisher(config: Config) -> Publisher:
    """The publisher that the configuration names; raises ConfigError when its library is not installed.

    Imported here, because only one is needed and each costs megabytes.
    """
    mqtt = config.mqtt
    arguments = (mqtt.endpoint, mqtt.port, config.gateway.name, mqtt.ca, mqtt.certificate, mqtt.key)
    if mqtt.publisher == "paho":
        from edge_agent.mqtt_paho import PahoPublisher

        return PahoPublisher(*arguments, mqtt.keepalive_s)
    try:
        from edge_agent.mqtt_aws import AwsPublisher
    except ImportError as exc:
        raise ConfigError([f"[mqtt] publisher {mqtt.publisher} is not installed: {exc.name}"]) from exc
    return AwsPublisher(*arguments, mqtt.keepalive_s)


def _reloaded(load: Load) -> Config | None:
    try:
        config = load()
    except ConfigError as exc:
        for problem in exc.problems:
            log.error("%s", problem)
        log.error("the configuration is not reloaded; the old one stays")
        return None
    log.info("the configuration is reloaded")
    return config


def _monotonic_us() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


async def _attended(main: Coroutine[Any, Any, T], workers: Sequence[Coroutine[Any, Any, None]]) -> T:
    """The result of ``main`` while the workers run beside it; the failure of any ends all."""
    leader = asyncio.ensure_future(main)
    tasks = [leader, *map(asyncio.ensure_future, workers)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        return leader.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
