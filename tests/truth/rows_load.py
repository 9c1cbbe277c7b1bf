"""Rows of latency under load: the round trips of a link at three loads, beside the wire's log of both."""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Iterator, Sequence

from edge_agent.probes.load_bins import LOADED_FROM, bin_of
from tests.truth.lab import FAR, Lab
from tests.truth.loading import SINK_PORT
from tests.truth.matching import requests, round_trips_ns
from tests.truth.passage import Passage
from tests.truth.report import Case, Row, judge, wire_late_us
from tests.truth.shape import Shape

RATE_KBPS = 5_000
LOADS_KBPS = (0, 0.35 * RATE_KBPS, 0.9 * RATE_KBPS)
ROUNDS, COUNT = 5, 20
P50_BOUND_MS, P95_BOUND_MS = 0.25, 0.5
RATE_BOUND = 0.05
"""Of the true rate; a round of echoes may begin and end amid a burst."""
_SINK = f"""
import socket, time
sink = socket.socket(type=socket.SOCK_DGRAM)
sink.bind(("", {SINK_PORT}))
time.sleep(99)
"""


def cases() -> list[Case]:
    """The one case."""
    return [three_loads]


def three_loads() -> Iterator[Row]:
    """A 5 Mbit/s link, idle, loaded to about a third and nearly full, by another process's datagrams."""
    wanted = {
        "target": FAR,
        "reference_kbps": RATE_KBPS,
        "loads": LOADS_KBPS,
        "rounds": ROUNDS,
        "count": COUNT,
    }
    with Lab(Shape(delay_ms=10, rate_kbps=RATE_KBPS), Shape(delay_ms=10)) as lab:
        lab.far.popen([sys.executable, "-c", _SINK])
        told = _told(lab, wanted)
        lab.settle()
        log = lab.log()
    truths = _truths(log)
    late = wire_late_us(log)
    for name, (trips_ms, kbps) in truths.items():
        condition = f"{name}: {kbps / RATE_KBPS:.0%} of 5 Mbit/s"
        p50, p95 = statistics.median(trips_ms), sorted(trips_ms)[math.ceil(0.95 * len(trips_ms)) - 1]
        yield judge("load p50", condition, _ms(told[f"{name}_p50_us"]), p50, "ms", P50_BOUND_MS, None, late)
        yield judge("load p95", condition, _ms(told[f"{name}_p95_us"]), p95, "ms", P95_BOUND_MS, None, late)
        count = told[f"{name}_echoes"]
        yield judge("load echoes", condition, count, len(trips_ms), "echoes", 0, None, late)
        if kbps > LOADED_FROM * RATE_KBPS:
            rate = told[f"{name}_kbps"]
            yield judge("load rate", condition, rate, kbps, "kbit/s", RATE_BOUND * kbps, None, late)


def _told(lab: Lab, wanted: dict[str, object]) -> dict[str, float]:
    done = lab.near.run([sys.executable, "-m", "tests.truth.loading", json.dumps(wanted)])
    told: dict[str, float] = json.loads(done.stdout)
    return told


def _ms(micros: float | None) -> float | None:
    return None if micros is None else micros / 1000


def _truths(log: Sequence[Passage]) -> dict[str, tuple[list[float], float]]:
    """By the wire alone: for each load, the round trips of its rounds, ms, and their mean rate."""
    sent, trips_ns = requests(log), round_trips_ns(log)
    found: dict[str, tuple[list[float], list[float]]] = {}
    for at in range(0, len(sent), COUNT):
        echoes = list(zip(sent[at : at + COUNT], trips_ns[at : at + COUNT], strict=True))
        answered_ns = [each.read_ns + trip for each, trip in echoes if trip is not None]
        rate = _rate_kbps(log, echoes[0][0].read_ns, max(answered_ns))
        trips, rates = found.setdefault(bin_of(rate, RATE_KBPS), ([], []))
        trips += [trip / 1e6 for _, trip in echoes if trip is not None]
        rates.append(rate)
    return {name: (trips, statistics.fmean(rates)) for name, (trips, rates) in found.items()}


def _rate_kbps(log: Sequence[Passage], begin_ns: int, end_ns: int) -> float:
    meanwhile = (each for each in log if each.direction == "out" and begin_ns <= each.read_ns <= end_ns)
    return sum(each.length for each in meanwhile) * 8e6 / (end_ns - begin_ns)
