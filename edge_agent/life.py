"""The agent's life from start to stop: signals, a reload that cannot spoil what runs, an end in time."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from edge_agent.agent import Agent, Lasting
from edge_agent.clock import SystemClock
from edge_agent.config import Config, ConfigError
from edge_agent.farewell import Farewell
from edge_agent.spool import SpoolError
from edge_agent.timekeeping import Timekeeper

Load = Callable[[], Config]

START_S = 0.3
"""How long the first probe waits for the spool to open: a mistake in its path is told within."""
RELOAD_S = 10.0
"""How long a reload waits for it, to know whether the new configuration can start."""

log = logging.getLogger(__name__)


async def supervise(load: Load, environment: Mapping[str, str], record: Path | None = None) -> None:
    """Run the agent until SIGTERM or SIGINT; on SIGHUP anew, with the new configuration if it is valid.

    Raises ConfigError, SpoolError or OSError when it cannot start; a new configuration that cannot
    start gives way to the old one.
    """
    farewell = Farewell()
    signals = _listen(farewell)
    first = load()
    config: Config | None = first
    former: Config | None = None
    clock = Timekeeper(SystemClock(), first.clock.wait_s, 0)
    lasting = Lasting(clock, clock.monotonic())
    while config is not None:
        try:
            agent = Agent(config, lasting, random.Random(), environment)
            await agent.start(record, START_S if former is None else RELOAD_S)
        except (ConfigError, SpoolError, OSError) as exc:
            if former is None:
                raise
            log.error("the new configuration does not start: %s; back to the old one", exc)
            lasting.refused_reload = str(exc)
            config, former = former, None
            continue
        following = await agent.run(_obey(agent, signals, load))
        farewell.is_all_kept = agent.is_all_kept
        config, former = following, config


def _listen(farewell: Farewell) -> asyncio.Queue[signal.Signals]:
    """A queue of the signals that control the agent; from one that ends it on, time runs."""
    loop = asyncio.get_running_loop()
    signals: asyncio.Queue[signal.Signals] = asyncio.Queue()

    def end(each: signal.Signals) -> None:
        farewell.begin()
        signals.put_nowait(each)

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, end, each)
    for each in (signal.SIGHUP, signal.SIGUSR1):
        loop.add_signal_handler(each, signals.put_nowait, each)
    return signals


async def _obey(agent: Agent, signals: asyncio.Queue[signal.Signals], load: Load) -> Config | None:
    """Do what signals say, until one of them ends the agent: None, or a configuration to go on with."""
    while True:
        match await signals.get():
            case signal.SIGUSR1:
                await agent.flush("flushed on request")
            case signal.SIGHUP:
                config = _reloaded(agent, load)
                if config is not None and await agent.may_reload():
                    return config
            case _:
                return None


def _reloaded(agent: Agent, load: Load) -> Config | None:
    try:
        config = load()
    except ConfigError as exc:
        for problem in exc.problems:
            log.error("%s", problem)
        log.error("the configuration is not reloaded; the old one stays")
        agent.refuse_reload(exc.problems[0])
        return None
    log.info("the configuration is reloaded")
    return config
