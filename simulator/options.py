"""The command line of the simulator, read into frozen options; what makes no sense is named at once."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from edge_agent.contract import GATEWAY_PATTERN
from simulator.target import DEFAULT_STACK, DEFAULT_STATE, STATE_VARIABLE

EARLIEST_YEAR = 2020
"""Ingest takes no reading from before: such a clock has not been set."""
PAHO_LIMIT = 300
"""Connections that paho-mqtt serves in one process: three descriptors each, and select() ends at 1024."""


@dataclass(frozen=True, slots=True)
class Options:
    """What `fleet-simulator run` is asked to do; the fields are its options."""

    gateways: int
    links: int
    interval: float
    duration: float
    seed: int
    flush: float
    sink: str
    output: Path | None
    prefix: str
    fast: bool
    start: datetime | None
    history: float
    history_interval: float | None
    publisher: str
    certificates: Path | None
    record: Path | None
    stack: str | None
    local: str | None
    json: bool

    @property
    def is_fast(self) -> bool:
        """Whether simulated time does not wait for real time."""
        return self.fast or self.sink == "file"


def parse(argv: Sequence[str] | None) -> Options:
    """The options of a command line; ends with exit code 2 and one line when they make no sense."""
    parser, run = _parsers()
    given = vars(parser.parse_args(argv))
    del given["command"]
    options = Options(**given)
    if problem := _problem(options):
        run.error(problem)
    return options


def _problem(options: Options) -> str:
    """What does not go together."""
    if not GATEWAY_PATTERN.fullmatch(f"{options.prefix}-{options.gateways:04d}"):
        return f"--prefix {options.prefix}: names are at most 63 letters, digits, - and _"
    if options.sink == "file" and options.output is None:
        return "--sink file needs --output, a folder or a file named *.jsonl"
    if options.sink != "file" and options.output is not None:
        return "--output goes with --sink file"
    if options.fast and options.sink == "mqtt":
        return "--fast goes with --sink kinesis or file: over MQTT the fleet keeps real time"
    if options.is_fast and not options.duration:
        return "--duration 0 (until stopped) goes with real time only"
    if options.start is not None and not options.is_fast:
        return "--start goes with --fast or --sink file"
    if options.history and options.is_fast:
        return "--history goes with real time: --start says when a fast run begins"
    if options.history_interval is not None and not options.history:
        return "--history-interval goes with --history"
    if options.publisher == "paho" and options.gateways > PAHO_LIMIT:
        return f"--publisher paho serves at most {PAHO_LIMIT} gateways: use awsiotsdk"
    return ""


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong; the usage is what --help is for."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parsers() -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    parser = _Parser("fleet-simulator", description="A seeded fleet of virtual gateways.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="run")
    run = commands.add_parser(
        "run",
        help="let a fleet measure",
        description="Let a simulated network measure itself, and deliver the readings.",
        epilog="Exit code: 0 all that was accepted was acknowledged; 1 not so; 2 wrong usage.",
    )
    _add_world(run)
    _add_delivery(run)
    return parser, run


def _add_world(run: argparse.ArgumentParser) -> None:
    add = run.add_argument
    add("--gateways", type=_whole(1, 100_000), default=50, metavar="N", help="virtual gateways (%(default)s)")
    add("--links", type=_whole(1, 100), default=10, metavar="N", help="links of each gateway (%(default)s)")
    add(
        "--interval",
        type=_seconds(0.1, 86_400),
        default=10.0,
        metavar="SECONDS",
        help="between readings (10)",
    )
    add(
        "--duration",
        type=_seconds(0, 31_622_400),
        default=60.0,
        metavar="SECONDS",
        help="0: until stopped (60)",
    )
    add("--seed", type=_whole(0, (1 << 63) - 1), default=1, metavar="N", help="names the world (%(default)s)")
    add("--prefix", default="gw", help="of the gateways' names (%(default)s)")
    add("--fast", action="store_true", help="simulated time that does not wait; kinesis and file")
    add("--start", type=_moment, metavar="TIME", help="simulated start, ISO 8601 UTC (so that it ends now)")
    add(
        "--history",
        type=_seconds(0, 604_800),
        default=0.0,
        metavar="SECONDS",
        help="measured before the run and sent at its beginning, as after an outage of the backhaul (0)",
    )
    add(
        "--history-interval",
        type=_seconds(0.1, 86_400),
        metavar="SECONDS",
        help="between readings of the history (as --interval)",
    )


def _add_delivery(run: argparse.ArgumentParser) -> None:
    add = run.add_argument
    add("--sink", choices=("mqtt", "kinesis", "file"), default="mqtt", help="where readings go (%(default)s)")
    add("--output", type=Path, metavar="PATH", help="for --sink file: a folder of batches, or FILE.jsonl")
    add("--flush", type=_seconds(0.5, 3600), default=5.0, metavar="SECONDS", help="between batches (5)")
    add("--publisher", choices=("awsiotsdk", "paho"), default="awsiotsdk", help="MQTT library (%(default)s)")
    add("--certificates", type=Path, metavar="DIR", help="of the gateways; missing ones are enrolled into it")
    add(
        "--record",
        type=Path,
        metavar="FILE",
        help="what was generated (a new file in the state's truth folder)",
    )
    add("--json", action="store_true", help="print the summary as JSON")
    add("--stack", metavar="NAME", help="feed a stack on AWS, with your credentials")
    add(
        "--local",
        metavar="STATE",
        nargs="?",
        const="",
        help=f"feed the local cloud with this state folder (${STATE_VARIABLE} or ./{DEFAULT_STATE}); "
        f"with neither option: the local cloud if one is up, else stack {DEFAULT_STACK} on AWS",
    )


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isdecimal() and low <= int(text) <= high):
            raise argparse.ArgumentTypeError(f"{text} is not a whole number from {low} to {high}")
        return int(text)

    return parse


def _seconds(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not a number of seconds from {low:g} to {high:g}")
        return value

    return parse


def _moment(text: str) -> datetime:
    try:
        given = datetime.fromisoformat(text)
        moment = given.astimezone(UTC) if given.tzinfo else given.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text} is not a time such as 2026-11-22T12:00:00Z") from None
    if moment.year < EARLIEST_YEAR:
        raise argparse.ArgumentTypeError(f"{text} is before {EARLIEST_YEAR}, which the cloud does not take")
    return moment
