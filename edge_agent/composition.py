"""What is made from a configuration: the spool, the publisher, and what stands between them."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.config import Config, ConfigError
from edge_agent.intake import Intake, Recorder
from edge_agent.profile import Profile
from edge_agent.publisher import Publisher
from edge_agent.pulse import Pulse
from edge_agent.spool import FolderDisk, Spool
from edge_agent.spool_folder import folder_of
from edge_agent.status import Meter
from edge_agent.timekeeping import Timekeeper
from edge_agent.together import attended
from edge_agent.uplink import Uplink

GRACE_S = 120.0
"""How late a loop may be before the watchdog calls it stalled: longer than every timeout in it."""
SLOWEST_FLUSH_S = 3600.0
"""How seldom a metered way out may make batches leave."""
BOOT_S = 300.0
"""A machine that has run for less has just started, perhaps with all others of its region."""


if TYPE_CHECKING:
    from edge_agent.budget.budget import Budget
    from edge_agent.budget.reflected import Reflected
    from edge_agent.profile_way_out import WayOut

log = logging.getLogger(__name__)


def open_spool(config: Config) -> Spool:
    """The spool that the configuration names; raises SpoolBusy or SpoolUnusable."""
    folder = folder_of(config.spool.path)
    if folder != config.spool.path:
        log.warning(
            "%s is the spool of a former version and is left alone; this one is %s", config.spool.path, folder
        )
    return Spool(
        FolderDisk(folder),
        config.gateway.name,
        [link.link for link in config.links],
        config.spool.max_mib << 20,
        len(config.topic.encode()),
        when_full=config.spool.full,
    )


def make_publisher(config: Config, commands: Callable[[bytes], None] | None = None) -> Publisher:
    """The publisher that the configuration names; raises ConfigError when its library is not installed.

    Imported here, because only one is needed and each costs megabytes.
    """
    mqtt, name = config.mqtt, config.gateway.name
    arguments = (mqtt.endpoint, mqtt.port, name, mqtt.ca, mqtt.certificate, mqtt.key, mqtt.keepalive_s)
    will, command_topic = (f"linkpulse/v1/{name}/gone", b"{}"), f"linkpulse/v1/{name}/resend"
    if mqtt.publisher == "paho":
        from edge_agent.mqtt_paho import PahoPublisher

        return PahoPublisher(
            *arguments, will=will, command_topic=command_topic, commands=commands, proxy=mqtt.proxy
        )
    try:
        from edge_agent.mqtt_aws import AwsPublisher
    except ImportError as exc:
        raise ConfigError([f"[mqtt] publisher {mqtt.publisher} is not installed: {exc.name}"]) from exc
    return AwsPublisher(
        *arguments, will=will, command_topic=command_topic, commands=commands, proxy=mqtt.proxy
    )


@dataclass(frozen=True, slots=True)
class Metering:
    """What watches the bytes, where any are metered."""

    way: WayOut | None = None
    budget: Budget | None = None

    async def run(self, executor: Executor) -> None:
        """Watch the way out and keep the ledger, until cancelled."""
        if self.way is None or self.budget is None:
            await asyncio.Event().wait()
        else:
            await attended(self.budget.run(executor), [self.way.run(self.budget)])

    def reflected(self) -> Reflected | None:
        """What books the bytes of a reflector; None where all of them are free."""
        if self.way is None or self.budget is None:
            return None
        from edge_agent.budget.reflected import Reflected

        return Reflected(self.budget, self.way.meters.of_way)

    def meter(self) -> str:
        """The metered interface on the way to the broker now; "" where bytes are free."""
        return self.way.meter() if self.way else ""

    def meters(self) -> list[Meter]:
        """What the metered interfaces have carried, for the status."""
        summaries = self.budget.summary() if self.budget else ()
        return [
            Meter(each.interface, each.hour, each.day, each.month, each.month_limit, each.lasts_s)
            for each in summaries
        ]

    def close(self) -> None:
        """Write the ledger for the last time, after all that books has ended."""
        if self.way is not None:
            self.way.close()
        if self.budget is not None:
            self.budget.close()


def make_metering(config: Config, clock: Timekeeper) -> Metering:
    """The budget of the configuration, and which way the broker is reached; imported only where needed."""
    if not Profile(config).is_anything_metered:
        return Metering()
    from edge_agent.budget.opening import open_budget
    from edge_agent.profile_way_out import WayOut

    way = WayOut(config, wall_s=lambda: clock.wall_ms() / 1000)
    return Metering(way, open_budget(config, clock, way))


def make_recorder(path: Path | None, config: Config, held: AsyncExitStack) -> Recorder | None:
    """What notes accepted readings for an audit, if it is wanted; raises OSError."""
    if path is None:
        return None
    recorder = Recorder(path, config.gateway.name)
    held.callback(recorder.close)
    return recorder


def make_intake(
    config: Config, spool: Spool, pulse: Pulse, executor: Executor, recorder: Recorder | None
) -> Intake:
    """What takes the readings into the spool."""
    commit_s = config.spool.commit_s
    beat = pulse.watch("commit", commit_s + GRACE_S)
    return Intake(spool, commit_s, executor, recorder=recorder, beat=beat)


def make_uplink(
    config: Config,
    spool: Spool,
    publisher: Publisher,
    clock: Timekeeper,
    rng: random.Random,
    pulse: Pulse,
    executor: Executor,
    metering: Metering,
    *,
    is_first: bool,
) -> Uplink:
    """What takes the batches to the broker; ``is_first``: the process has just been started."""
    has_booted = is_first and clock.monotonic() < BOOT_S
    slowest_s = max(config.uplink.flush_s, SLOWEST_FLUSH_S if metering.way else 0.0)
    return Uplink(
        spool,
        publisher,
        config.topic,
        config.uplink,
        wall_ms=clock.wall_ms,
        rng=rng,
        settle=clock.settle,
        spend=metering.budget,
        meter=metering.meter,
        flush_s=metering.way.flush_s if metering.way else None,
        executor=executor,
        beat=pulse.watch("uplink", slowest_s + config.uplink.backoff_max_s + GRACE_S),
        boot_delay_s=config.uplink.boot_delay_s if has_booted else 0.0,
    )
