"""Rows of the echo probe while its own process is busy: a loop that holds the interpreter's lock."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

from edge_agent.contract import KINDS
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.echo import EchoProbe
from edge_agent.probes.echo_settings import EchoSettings
from tests.truth.lab import FAR, Lab, Side
from tests.truth.matching import identifiers, round_trips_ns
from tests.truth.report import Case, Row, judge, wire_late_us
from tests.truth.shape import Shape

BOUND_MS = 0.25
TIMES_BETTER = 10
ROUNDS, SPACING_MS = 150, 20
STILL = Shape(delay_ms=10)
OURS, PEER = "echo", "icmplib"
TRIP = [column.name for column in KINDS["echo"].columns].index("rtt_p50_us")


def cases() -> list[Case]:
    """The one case."""
    return [busy]


def busy() -> Iterator[Row]:
    """Single echoes beside a busy loop, so that each has an error of its own; then icmplib does the same."""
    with Lab(STILL, STILL) as lab:
        told = [_told_ms(lab.near, tool) for tool in (OURS, PEER)]
        lab.settle()
        log = lab.log()
    whose = identifiers(log)
    truths = [[_ms(trip) for trip in round_trips_ns(log, each)] for each in whose[:2]]
    ours, peer = map(_median_error_ms, told, truths)
    shown = statistics.median(_known(told[0])), statistics.median(_known(truths[0]))
    condition = "20 ms link, interpreter lock held"
    row = judge("echo rtt", condition, *shown, "ms", BOUND_MS, {PEER: peer}, wire_late_us(log))
    reached = ours <= BOUND_MS and peer >= TIMES_BETTER * ours
    note = f"icmplib's error is {peer / max(ours, 1e-6):.0f} times as large, to be at least {TIMES_BETTER}"
    yield replace(row, error=ours, reached=reached, note=note)


def _told_ms(side: Side, tool: str) -> list[float | None]:
    """What a tool says of each of its echoes, in order, ms; None for one without a reply."""
    done = side.run([sys.executable, "-m", "tests.truth.rows_busy", tool], check=False)
    if done.returncode:
        raise RuntimeError(f"{tool} failed: {done.stderr[-500:]}")
    told: list[float | None] = json.loads(done.stdout)
    return told


def _ms(trip_ns: int | None) -> float | None:
    return None if trip_ns is None else trip_ns / 1e6


def _known(trips: Sequence[float | None]) -> list[float]:
    return [each for each in trips if each is not None]


def _median_error_ms(told: Sequence[float | None], truths: Sequence[float | None]) -> float:
    """Over the echoes that both know; raises ValueError when they do not speak of the same echoes."""
    pairs = list(zip(told, truths, strict=True))
    return statistics.median(abs(a - b) for a, b in pairs if a is not None and b is not None)


def _hog() -> None:
    number = 0
    while True:
        number += 1


async def _ours() -> list[float | None]:
    """Rounds of one request each: a reading then tells one round trip."""
    probe = EchoProbe(EchoSettings(period_s=1, timeout_s=1, count=1))
    link = ProbedLink("lab", interface="near0", target=FAR)
    taken: list[float | None] = []
    for _ in range(ROUNDS):
        trip_us = (await probe(link)).values[TRIP]
        taken.append(None if trip_us is None else trip_us / 1000)
        await asyncio.sleep(SPACING_MS / 1000)
    probe.close()
    return taken


def _icmplib() -> list[float | None]:
    import icmplib

    host = icmplib.ping(FAR, count=ROUNDS, interval=SPACING_MS / 1000, timeout=1, privileged=True)
    return list(host.rtts)


if __name__ == "__main__":
    threading.Thread(target=_hog, daemon=True).start()
    print(json.dumps(asyncio.run(_ours()) if sys.argv[1] == OURS else _icmplib()))
