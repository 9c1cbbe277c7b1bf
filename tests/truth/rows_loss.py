"""Rows of the echo probe's counts, which must be the wire's to the packet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

from edge_agent.probes.echo_settings import EchoSettings
from tests.truth.lab import FAR, FAR6, Lab
from tests.truth.matching import answers, fates, replies, requests, round_trips_ns
from tests.truth.passage import Passage
from tests.truth.probing import rounds, total
from tests.truth.report import Case, Row, judge, wire_late_us
from tests.truth.shape import Shape

ROUNDS = 8
SETTINGS = EchoSettings(period_s=1.2, timeout_s=1.2, count=25, spacing_ms=5)
OUT_UNTIL, BACK_UNTIL = 150, 110
"""The last round is left alone: it reports what came late or twice to the rounds before."""
COUNTS = ("sent", "received", "late", "duplicate", "corrupt")
CLEAN = Shape(delay_ms=5)
Condition = tuple[str, Shape, Shape]


def conditions() -> list[Condition]:
    """Name, and shape of each direction."""
    out, back = partial(Shape, delay_ms=5, until=OUT_UNTIL), partial(Shape, delay_ms=5, until=BACK_UNTIL)
    return [
        ("nothing lost", CLEAN, CLEAN),
        ("1 % lost each way", out(loss=0.01), back(loss=0.01)),
        ("20 % lost out, 5 % back", out(loss=0.2), back(loss=0.05)),
        ("first and last of rounds", out(lose=(0, 24, 25, 49)), CLEAN),
        ("30 in a row lost on the way back", CLEAN, back(lose=tuple(range(40, 70)))),
        ("an outage of 1 s", out(outages=((1.0, 2.0),)), CLEAN),
        ("everything lost", Shape(loss=1), CLEAN),
        ("a queue that overflows", out(rate_kbps=120, queue_bytes=400), CLEAN),
        ("duplicated, 15 % each way", out(duplicate=0.15), back(duplicate=0.15)),
        ("20 % held back for 65 ms", CLEAN, back(reorder=0.2, reorder_ms=65)),
        ("10 % corrupt each way", out(corrupt=0.1), back(corrupt=0.1)),
        ("10 % late by 1.1 s", CLEAN, back(reorder=0.1, reorder_ms=1100)),
        (
            "all of these at once",
            out(jitter_ms=3, loss=0.05, duplicate=0.05, corrupt=0.05),
            back(jitter_ms=3, loss=0.05, duplicate=0.05, corrupt=0.05, reorder=0.1, reorder_ms=65),
        ),
    ]


def cases() -> list[Case]:
    """Every condition over IPv4, and all of them at once over IPv6."""
    every = [partial(counted, *each, FAR) for each in conditions()]
    name, out, back = conditions()[-1]
    return [*every, partial(counted, f"{name}, IPv6", out, back, FAR6)]


def counted(condition: str, out: Shape, back: Shape, target: str) -> Iterator[Row]:
    """A row for each count of the probe that is not trivially 0."""
    settings = {name: getattr(SETTINGS, name) for name in ("period_s", "timeout_s", "count", "spacing_ms")}
    with Lab(out, back, seed=7) as lab:
        taken = rounds(lab.near, "echo", ROUNDS, target, **settings)
        lab.settle()
        log = lab.log()
    true = true_counts(log, int(SETTINGS.wait_s * 1e9), target == FAR6)
    late_us = wire_late_us(log)
    # On a busy machine a round ends while its last echo is in flight; no round counts what becomes of it.
    in_flight = total(taken, "in_flight")
    for name, count in true.items():
        said = total(taken, name)
        if name in ("received", "late"):
            uncounted = min(max(count - said, 0), in_flight)
            said, in_flight = said + uncounted, in_flight - uncounted
        if count or said or name == "received":
            yield judge(f"echo {name}", condition, said, count, "packets", 0, wire_late_us=late_us)


def true_counts(log: Sequence[Passage], wait_ns: int, checked: bool = False) -> dict[str, int]:
    """What the probe's counts must be; ``checked`` when its kernel drops corrupt replies unseen (IPv6)."""
    trips = [trip for trip in round_trips_ns(log) if trip is not None]
    copies = Counter(answers(log))
    return {
        "sent": len(requests(log)),
        "received": sum(trip <= wait_ns for trip in trips),
        "late": sum(trip > wait_ns for trip in trips),
        "duplicate": sum(copies.values()) - len(copies),
        "corrupt": 0 if checked else fates(replies(log), "corrupted"),
    }
