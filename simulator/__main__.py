"""`fleet-simulator`: a seeded fleet of virtual gateways that feeds a cloud, a stream or files."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.logging import RichHandler

from edge_agent.uplink import Publisher
from simulator.certificates import Identity, enrol, missing
from simulator.fleet import Clock, FastClock, Fleet, RealClock, Sink
from simulator.options import Options, parse
from simulator.progress import Reporter, Snapshot, summary
from simulator.rounds import Past, Plan
from simulator.sink_file import FileSink
from simulator.sink_kinesis import KinesisSink
from simulator.sink_mqtt import MqttSink
from simulator.target import Broker, SimulatorError, Target, resolve
from simulator.truth import Truth
from simulator.world import World, build

FINISH_S = 20.0
"""How long a run may take to deliver what is left."""
KEEPALIVE_S = 1200
DESCRIPTORS_EACH = 8
"""Open files that one MQTT connection needs at most, whatever the library."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the fleet; 0 only when all that was accepted has been acknowledged."""
    options = parse(argv)
    try:
        return _run(options)
    except SimulatorError as exc:
        print(f"fleet-simulator: {exc}", file=sys.stderr)
        return exc.code
    except KeyboardInterrupt:
        return 130
    except OSError as exc:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # it must not complain again at exit
        print(f"fleet-simulator: {exc.filename or 'output'}: {exc.strerror or exc}", file=sys.stderr)
        return 1


def _run(options: Options) -> int:
    began = time.monotonic()
    console = Console(stderr=True)
    _log_to(console)
    target = None if options.sink == "file" else resolve(options.stack, options.local, os.environ)
    world = build(options.seed, options.gateways, options.links, options.prefix)
    clock = _clock(options)
    sink = _sink(options, target, world, clock)
    record = options.record or (target.state / "truth" / _record_name(options.seed) if target else None)
    reporter = Reporter(console, target.state / "fleet.json" if target else None, _expected(options))
    with ExitStack() as opened:
        truth = opened.enter_context(Truth(record)) if record else None
        fleet = Fleet(world, _plan(options), sink, clock, truth.add if truth else None)
        last = asyncio.run(deliver(fleet, sink, reporter, options.gateways))
    summary(last, time.monotonic() - began, record, options.json, Console())
    return verdict(last)


# --- the parts ------------------------------------------------------------------------------------


def _plan(options: Options) -> Plan:
    duration_ms = int(options.duration * 1000) or None
    return Plan(int(options.interval * 1000), duration_ms, int(options.flush * 1000), _past(options))


def _past(options: Options) -> Past | None:
    interval = options.history_interval or options.interval
    return Past(int(options.history * 1000), int(interval * 1000)) if options.history else None


def _clock(options: Options) -> Clock:
    if not options.is_fast:
        return RealClock()
    if options.start is not None:
        return FastClock(int(options.start.timestamp() * 1000))
    return FastClock(time.time_ns() // 1_000_000 - int(options.duration * 1000))


def _expected(options: Options) -> int | None:
    if not options.duration:
        return None
    rounds = options.duration / options.interval
    rounds += options.history / (options.history_interval or options.interval)
    return int(options.gateways * (options.links + 1) * rounds)


def _record_name(seed: int) -> str:
    return f"fleet-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{seed}.jsonl"


def _sink(options: Options, target: Target | None, world: World, clock: Clock) -> Sink:
    if target is None:
        assert options.output is not None  # checked with the options
        return FileSink(options.output, world, clock.now_ms(), clock.now_ms)
    if options.sink == "kinesis":
        outputs = target.outputs()
        if outputs.get("AllowDirect") != "true":
            raise SimulatorError(
                f"{target.place} takes nothing straight from its stream: deploy it with AllowDirect=true"
            )
        client = target.client("kinesis")
        return KinesisSink(client, target.output("StreamName"), world, clock.now_ms(), clock.now_ms, target)
    broker, rule = target.broker(), target.output("RuleName")
    folder = options.certificates or target.state / "fleet"
    _allow_files(DESCRIPTORS_EACH * len(world.gateways) + 100)
    if names := missing(folder, [gateway.name for gateway in world.gateways], broker.ca):
        with Console(stderr=True).status(f"enrolling {len(names)} gateways"):
            enrol(target, folder, names)
    return MqttSink(
        world,
        rule,
        lambda name: _publisher(options.publisher, broker, folder, name),
        options.flush,
        advice=f"; to enrol gateways anew delete their folders in {folder}",
    )


def _publisher(library: str, broker: Broker, folder: Path, name: str) -> Publisher:
    identity = Identity.of(folder, name)
    place = (broker.endpoint, broker.port, name, broker.ca, identity.certificate, identity.key, KEEPALIVE_S)
    # Only the library that is meant is loaded.
    if library == "paho":
        from edge_agent.mqtt_paho import PahoPublisher

        return PahoPublisher(*place)
    from edge_agent.mqtt_aws import AwsPublisher

    return AwsPublisher(*place)


def _allow_files(count: int) -> None:
    """Raise this process's own limit of open files as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= count or soft == resource.RLIM_INFINITY:
        return
    most = count if hard == resource.RLIM_INFINITY else min(count, hard)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


# --- the run --------------------------------------------------------------------------------------


async def deliver(fleet: Fleet, sink: Sink, reporter: Reporter, gateways: int) -> Snapshot:
    """Open the sink, run the fleet, deliver the rest; the figures at the end."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def now() -> Snapshot:
        counts = fleet.counts
        return Snapshot(counts.generated, counts.accepted, sink.acknowledged, gateways, sink.connected)

    try:
        with reporter:
            await sink.open()
            reporting = asyncio.create_task(reporter.run(now))
            try:
                await fleet.run(stop)
                await sink.finish(FINISH_S)
            finally:
                reporting.cancel()
                with suppress(asyncio.CancelledError):
                    await reporting
            last = now()
            reporter.show(last)
        return last
    finally:
        await sink.close()


def verdict(last: Snapshot) -> int:
    """0 when all that was accepted has been acknowledged; raises SimulatorError otherwise."""
    if left := last.accepted - last.acknowledged:
        raise SimulatorError(f"{left:,} readings were accepted and have not been acknowledged")
    return 0


class _Once(logging.Filter):
    """Lets each message pass once: all gateways lose the broker together, and one line says it."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        new = message not in self._said
        self._said.add(message)
        return new


def _log_to(console: Console) -> None:
    """Warnings of the uplinks: above the bar on a terminal, plain lines elsewhere."""
    handler: logging.Handler = logging.StreamHandler()
    if console.is_terminal:
        handler = RichHandler(console=console, show_path=False)
    handler.addFilter(_Once())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], format="%(message)s")


if __name__ == "__main__":
    sys.exit(main())
