"""Measuring by hand: one round of all that is configured, or one probe of a target given."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TypeVar

from edge_agent.clock import SystemClock
from edge_agent.config import Config
from edge_agent.contract import Link, Outcome, Reading, describe_reading
from edge_agent.display import Palette, colour_of, report, summary, table, verdict
from edge_agent.probes import (
    PROBES,
    ConnectSettings,
    EchoSettings,
    InterfaceSettings,
    Settings,
    SimulatedSettings,
)
from edge_agent.schedule import Scheduler, Series
from edge_agent.series import close_probes, make_series

T = TypeVar("T")

KINDS = {"icmp": "echo", "echo": "echo", "tcp": "connect", "connect": "connect"} | {
    name: name for name in ("interface", "simulated")
}
"""What a user may call a probe, and its name."""

OK, NOT_ALL = 0, 1
EXITS = {Outcome.DENIED: 77, Outcome.UNRESOLVED: 68}
"""EX_NOPERM and EX_NOHOST of sysexits.h; any other failure to measure is EX_UNAVAILABLE."""
UNAVAILABLE = 69


def once(config: Config, as_json: bool) -> int:
    """One round of every probe of every link, printed; 0 when each has measured."""
    readings = asyncio.run(_rounds(make_series(config), 1, 0))
    if as_json:
        print(json.dumps([describe_reading(reading) for reading in readings], indent=2))
    else:
        print("\n".join(_table(readings)))
    return OK if all(reading.outcome is Outcome.MEASURED for reading in readings) else NOT_ALL


def probe(options: Namespace) -> int:
    """One probe of one target, printed; 0 when all was answered, 1 when not, more when not measured.

    Raises ValueError when the options do not go together.
    """
    name = KINDS[options.kind]
    settings = _settings(name, options)
    series = Series(_link(name, options), name, PROBES[name](settings), settings.period_s, settings.timeout_s)
    # Counters of an interface only mean something between two rounds.
    rounds = 2 if name == "interface" else 1
    reading = asyncio.run(_rounds([series], rounds, _or(options.interval, 1)))[-1]
    if options.json:
        print(json.dumps(describe_reading(reading), indent=2))
    elif reading.outcome is Outcome.MEASURED:
        print("\n".join(report(f"{name} {options.target}", reading)))
    if reading.outcome is not Outcome.MEASURED:
        return EXITS.get(reading.outcome, UNAVAILABLE)
    return OK if verdict(reading) == "ok" else NOT_ALL


async def _rounds(series: Sequence[Series], rounds: int, pause_s: float) -> list[Reading]:
    readings: list[Reading] = []
    scheduler = Scheduler(series, SystemClock(), random.Random(), readings.append)
    try:
        await scheduler.run_once()
        for _ in range(rounds - 1):
            await asyncio.sleep(pause_s)
            await scheduler.run_once()
    finally:
        close_probes(series)
    return readings


def _table(readings: Sequence[Reading]) -> list[str]:
    palette = Palette(sys.stdout, os.environ)
    ordered = sorted(readings, key=lambda reading: (reading.link, reading.kind))
    words = [verdict(reading) for reading in ordered]
    rows = [
        (reading.link, reading.kind, word, summary(reading))
        for reading, word in zip(ordered, words, strict=True)
    ]
    header, *lines = table(rows, ("LINK", "PROBE", "STATE", "MEASURED"), palette)
    painted = [
        line.replace(f" {word} ", f" {palette.paint(word, colour_of(word))} ", 1)
        for line, word in zip(lines, words, strict=True)
    ]
    return [header, *painted]


def _link(name: str, options: Namespace) -> Link:
    if name == "interface":
        return Link(options.target, interface=options.target)
    return Link(options.target, target=options.target, interface=options.interface or "")


def _settings(name: str, options: Namespace) -> Settings:
    """Settings for one round by hand: ``count`` requests ``interval`` s apart, ``timeout`` s for the last."""
    match name:
        case "echo":
            count, spacing_s = _or(options.count, 5), _or(options.interval, 0.2)
            whole_s = _whole_s(count, spacing_s, options.timeout)
            return EchoSettings(
                period_s=whole_s, timeout_s=whole_s, count=count, spacing_ms=round(spacing_s * 1000)
            )
        case "connect":
            count = _or(options.count, 3)
            whole_s = max(_whole_s(count, 0.1, options.timeout), 0.2 * count)
            return ConnectSettings(
                period_s=whole_s, timeout_s=whole_s, count=count, port=_or(options.port, 443)
            )
        case "interface":
            return InterfaceSettings()
    return SimulatedSettings()


def _or(given: T | None, default: T) -> T:
    return default if given is None else given


def _whole_s(count: int, spacing_s: float, timeout_s: float) -> float:
    """The time of a round whose last request has ``timeout_s`` to be answered, within the probes' limits."""
    sending_s = (count - 1) * spacing_s
    return max((sending_s + timeout_s) / 0.9, sending_s / 0.8, 0.2)
