"""Rows of the echo probe: round trips beside ping and fping, and delay variation."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

from tests.truth.lab import FAR, FAR6, Lab
from tests.truth.matching import identifiers, round_trips_ns
from tests.truth.passage import Passage
from tests.truth.probing import Round, rounds
from tests.truth.report import Case, Row, judge, wire_late_us
from tests.truth.shape import Shape

RTT_BOUND_MS = 0.10
P95_BOUND_MS = 0.25
PRINTED_MS = 0.05
"""ping and fping print tenths of a ms at 20 ms: a smaller error of theirs is luck."""
ROUNDS, COUNT, SPACING_MS = 10, 25, 20
SETTINGS = {"count": COUNT, "spacing_ms": SPACING_MS, "timeout_s": 2.0, "period_s": 2.0}
STILL = Shape(delay_ms=10)


def cases() -> list[Case]:
    """Every case of round trips and their variation."""
    return [idle, idle_v6, *(partial(jitter, spread_ms) for spread_ms in (1.0, 5.0, 20.0))]


def idle() -> Iterator[Row]:
    """RTT of a quiet 20 ms link; ping and fping run after the probe on the same wire."""
    number, pause = str(ROUNDS * COUNT), str(SPACING_MS)
    with Lab(STILL, STILL) as lab:
        taken = rounds(lab.near, "echo", ROUNDS, **SETTINGS)
        ping = lab.near.run(["ping", "-n", "-c", number, "-i", str(SPACING_MS / 1000), FAR]).stdout
        fping = lab.near.run(["fping", "-C", number, "-p", pause, "-t", "900", FAR]).stdout
        lab.settle()
        log = lab.log()
    ours, pings, fpings = identifiers(log)
    peers = {
        "ping": _median_error_ms(re.findall(r"time=([\d.]+) ms", ping), trips_ms(log, pings)),
        "fping": _median_error_ms(re.findall(r"bytes, ([\d.]+) ms", fping), trips_ms(log, fpings)),
    }
    yield from _rtt("quiet 20 ms link", taken, trips_ms(log, ours), peers, wire_late_us(log))


def idle_v6() -> Iterator[Row]:
    """RTT of a quiet 20 ms link over IPv6."""
    with Lab(STILL, STILL) as lab:
        taken = rounds(lab.near, "echo", ROUNDS, FAR6, **SETTINGS)
        lab.settle()
        log = lab.log()
    yield from _rtt("quiet 20 ms link, IPv6", taken, trips_ms(log), {}, wire_late_us(log))


def jitter(spread_ms: float) -> Iterator[Row]:
    """Delay variation and deviation on a link whose delay is spread evenly, each way."""
    shape = Shape(delay_ms=10, jitter_ms=spread_ms)
    with Lab(shape, shape, seed=int(spread_ms)) as lab:
        taken = rounds(lab.near, "echo", ROUNDS, **SETTINGS)
        lab.settle()
        log = lab.log()
    trips = _by_round(trips_ms(log))
    truths = {
        "ipdv_mean_us": statistics.fmean(
            statistics.fmean(abs(b - a) for a, b in pairwise(each)) for each in trips
        ),
        "rtt_stddev_us": statistics.fmean(statistics.stdev(each) for each in trips),
    }
    condition = f"delay spread over 2 x {spread_ms:g} ms"
    for column, truth in truths.items():
        what = "echo ipdv" if column == "ipdv_mean_us" else "echo deviation"
        estimate = statistics.fmean(_told_ms(taken, column))
        bound = max(0.05 * truth, 0.1)
        yield judge(what, condition, estimate, truth, "ms", bound, wire_late_us=wire_late_us(log))


def trips_ms(log: Sequence[Passage], identifier: int | None = None) -> list[float]:
    """The round trips of the echoes that were answered, by the wire's log."""
    return [trip / 1e6 for trip in round_trips_ns(log, identifier) if trip is not None]


def _rtt(
    condition: str, taken: list[Round], trips: list[float], peers: Mapping[str, float], late_us: float
) -> Iterator[Row]:
    """Median over the rounds of the error of each figure of a round."""
    by_round = _by_round(trips)
    figures = {
        "p50": [statistics.median(each) for each in by_round],
        "min": [min(each) for each in by_round],
        "mean": [statistics.fmean(each) for each in by_round],
        "p95": [sorted(each)[-(-95 * len(each) // 100) - 1] for each in by_round],
    }
    for name, truths in figures.items():
        told = _told_ms(taken, f"rtt_{name}_us")
        error = _median_error_ms(told, truths)
        bound = P95_BOUND_MS if name == "p95" else RTT_BOUND_MS
        shown = statistics.median(told), statistics.median(truths)
        beside = peers if name == "p50" else {}
        reached = error <= bound and all(error <= max(peer, PRINTED_MS) for peer in beside.values())
        row = judge(f"echo rtt {name}", condition, *shown, "ms", bound, beside, late_us)
        yield replace(row, error=error, reached=reached)


def _by_round(trips: list[float]) -> list[list[float]]:
    return [trips[at : at + COUNT] for at in range(0, len(trips), COUNT)]


def _told_ms(taken: list[Round], column: str) -> list[float]:
    return [each[column] / 1000 for each in taken if each.get(column) is not None]


def _median_error_ms(told: Sequence[str | float], truths: Sequence[float]) -> float:
    return statistics.median(abs(float(a) - b) for a, b in zip(told, truths, strict=True))
