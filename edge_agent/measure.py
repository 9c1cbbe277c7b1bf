"""Measuring by hand: one round of all that is configured, or one probe of a target given."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from argparse import Namespace
from collections.abc import Sequence

from edge_agent.clock import SystemClock
from edge_agent.config import Config
from edge_agent.contract import Outcome, Reading, describe_reading
from edge_agent.display import Palette, colour_of, report, summary, table, verdict
from edge_agent.measure_options import NAMES, link_of, settings_of
from edge_agent.probes import SETTINGS, ProbeError
from edge_agent.probes.shared_key import NoKeyFile, check_key_file
from edge_agent.schedule import Scheduler, Series
from edge_agent.series import close_probes, make_series, series_of
from edge_agent.taken import Taken

OK, NOT_ALL = 0, 1
EXITS = {Outcome.DENIED: 77, Outcome.UNRESOLVED: 68}
"""EX_NOPERM and EX_NOHOST of sysexits.h; any other failure to measure is EX_UNAVAILABLE."""
NO_INPUT, UNAVAILABLE = 66, 69
TWICE = ("interface", "host")
"""Probes of counters, which only mean something between two rounds."""
PAUSE_S = 1.0
SEVERAL = ("path", "neighbour")
"""Probes of which a round gives several readings."""
HINTS = {
    "stamp": "not one reply in time: is 'edge-agent reflect' running there, does it allow this machine, "
    "and have both ends the same key, or none?",
    "dns": "not one answer: does a name server run there, and on that port?",
}
"""What may be wrong when nothing came back."""
ECHO_ROUNDS = 5
"""Rounds of echoes that `probe load` follows."""


def once(config: Config, as_json: bool) -> int:
    """One round of every probe of every link, printed; 0 when each has measured."""
    series = make_series(config)
    # Load is a report on the echoes, so it comes after them.
    rounds = [
        [each for each in series if each.name != "load"],
        [each for each in series if each.name == "load"],
    ]
    readings = [each for done in asyncio.run(_rounds(rounds, 0)) for each in done]
    if as_json:
        print(json.dumps([describe_reading(reading) for reading in readings], indent=2))
    else:
        print("\n".join(_table(readings)))
    return OK if all(reading.outcome is Outcome.MEASURED for reading in readings) else NOT_ALL


def probe(options: Namespace) -> int:
    """One probe of one target, printed; 0 when all was answered, 1 when not, more when not measured.

    Raises ConfigError when the options do not fit the probe or each other.
    """
    name = NAMES[options.kind]
    rounds = _hand_rounds(name, options)
    try:
        check_key_file(options.key_file)
    except ProbeError as error:
        print(f"edge-agent probe: {error.message}", file=sys.stderr)
        return NO_INPUT if isinstance(error, NoKeyFile) else EXITS.get(error.outcome, UNAVAILABLE)
    pause_s = (options.interval or PAUSE_S) if name in TWICE else 0
    readings = asyncio.run(_rounds(rounds, pause_s, until_failed=True))[-1]
    first = readings[0]
    if options.json:
        described = [describe_reading(reading) for reading in readings]
        print(json.dumps(described if name in SEVERAL else described[0], indent=2))
    elif first.outcome is Outcome.MEASURED:
        print("\n".join(_lines(name, options, readings)))
    if first.outcome is not Outcome.MEASURED:
        return EXITS.get(first.outcome, UNAVAILABLE)
    return OK if verdict(first) == "ok" else NOT_ALL


def _lines(name: str, options: Namespace, readings: Sequence[Reading]) -> list[str]:
    """The report of a round, its counts in the colour of what they come to, and what to do about silence."""
    title, counts, *rest = report(f"{name} {options.target or options.interface or ''}".strip(), *readings)
    word = verdict(readings[0])
    painted = Palette(sys.stdout, os.environ).paint(counts, colour_of(word))
    hint = HINTS.get(name, "") if word == "down" else ""
    return [title, painted, *rest, *filter(None, [hint])]


def _hand_rounds(name: str, options: Namespace) -> list[list[Series]]:
    """The series to run, round after round; the last is what is shown."""
    link = link_of(name, options)
    if name == "load":
        settings = {"echo": SETTINGS["echo"](), "load": settings_of("load", options)}
        echo, load = series_of([(link, "echo"), (link, "load")], settings)
        return [[echo]] * (options.count or ECHO_ROUNDS) + [[load]]
    series = series_of([(link, name)], {name: settings_of(name, options)})
    return [series, series] if name in TWICE else [series]


async def _rounds(
    rounds: Sequence[Sequence[Series]], pause_s: float, until_failed: bool = False
) -> list[list[Reading]]:
    """The readings of each round, up to the first that is not measured if told so; closes the probes."""
    done: list[list[Reading]] = []
    try:
        for number, series in enumerate(rounds):
            if number:
                await asyncio.sleep(pause_s)
            taken: list[Taken] = []
            await Scheduler(series, SystemClock(), random.Random(), taken.append).run_once()
            done.append([each.reading for each in taken])
            if until_failed and done[-1][0].outcome is not Outcome.MEASURED:
                break
    finally:
        close_probes([each for series in rounds for each in series])
    return done


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
