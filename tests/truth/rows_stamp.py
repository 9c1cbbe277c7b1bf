"""Rows of the STAMP probe: round trips, one-way delays and their variation, and loss of each direction."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

from tests.truth.lab import FAR, FAR6, Lab
from tests.truth.passage import Passage
from tests.truth.report import Case, Row, judge, wire_late_us
from tests.truth.shape import Shape
from tests.truth.stamp_ends import Round, reflecting, rounds
from tests.truth.stamp_truth import Journey, sessions

BOUND_MS = 0.10
SHARE = 0.05
"""One-way delay and jitter may be off by this part of the truth, or by BOUND_MS."""
ROUNDS, COUNT = 10, 25
SETTINGS = {"count": COUNT, "spacing_ms": 20, "timeout_s": 1.5, "period_s": 2.0}
SLOW = Shape(delay_ms=5)
LOSSES = (
    ("10 % lost each way", Shape(delay_ms=5, loss=0.1), Shape(delay_ms=5, loss=0.1)),
    ("30 % lost on the way out", Shape(delay_ms=5, loss=0.3), SLOW),
    ("30 % lost on the way back", SLOW, Shape(delay_ms=5, loss=0.3)),
    ("last packets lost on the way out", Shape(delay_ms=5, lose=(22, 23, 24)), SLOW),
    ("last replies lost on the way back", SLOW, Shape(delay_ms=5, lose=(23, 24, 25))),
    ("an outage of 0.3 s", Shape(delay_ms=5, outages=((0.6, 0.9),)), SLOW),
    ("20 % duplicated each way", Shape(delay_ms=5, duplicate=0.2), Shape(delay_ms=5, duplicate=0.2)),
    ("20 % reordered each way", *2 * (Shape(delay_ms=5, reorder=0.2, reorder_ms=65),)),
    ("10 % corrupt each way", Shape(delay_ms=5, corrupt=0.1), Shape(delay_ms=5, corrupt=0.1)),
    (
        "loss, corruption and reordering each way",
        *2 * (Shape(delay_ms=5, loss=0.05, corrupt=0.05, reorder=0.1, reorder_ms=65),),
    ),
)


def cases() -> list[Case]:
    """Every case of the STAMP probe."""
    still = Shape(delay_ms=10), Shape(delay_ms=10)
    uneven = Shape(delay_ms=5), Shape(delay_ms=25)
    return [
        partial(delays, "quiet 20 ms link", *still),
        partial(delays, "quiet 20 ms link, IPv6", *still, target=FAR6),
        partial(delays, "quiet 20 ms link, authenticated", *still, signed=True),
        partial(delays, "5 ms out, 25 ms back", *uneven),
        *(partial(jitter, spread_ms) for spread_ms in (1.0, 5.0, 20.0)),
        *(partial(counted, *each) for each in LOSSES),
    ]


def delays(condition: str, out: Shape, back: Shape, target: str = FAR, signed: bool = False) -> Iterator[Row]:
    """Round trip and one-way delays: the median error of a round's median."""
    taken, log = measured(out, back, target, signed)
    truth = _answered(log)
    late_us = wire_late_us(log)
    ways: dict[str, Callable[[Journey], int]] = {
        "rtt": lambda each: each.out_ns + each.back_ns,
        "out": lambda each: each.out_ns,
        "back": lambda each: each.back_ns,
    }
    for name, time_ns in ways.items():
        told = [value / 1000 for each in taken if (value := each[f"{name}_p50_us"]) is not None]
        true = [statistics.median(map(time_ns, each)) / 1e6 for each in truth]
        what = "stamp rtt p50" if name == "rtt" else f"stamp one-way {name} p50"
        yield _nearest(what, condition, told, true, late_us)


def jitter(spread_ms: float) -> Iterator[Row]:
    """Delay variation of each direction, of a link whose delay is spread less on the way back."""
    out, back = Shape(delay_ms=10, jitter_ms=spread_ms), Shape(delay_ms=10, jitter_ms=spread_ms / 2)
    taken, log = measured(out, back)
    truth = _answered(log)
    ways: dict[str, Callable[[Journey], int]] = {
        "out": lambda each: each.out_ns,
        "back": lambda each: each.back_ns,
    }
    for name, time_ns in ways.items():
        told = [value / 1000 for each in taken if (value := each[f"ipdv_{name}_mean_us"]) is not None]
        true = [_variation_ms(list(map(time_ns, each))) for each in truth]
        condition = f"delay spread over {spread_ms:g} ms out, {spread_ms / 2:g} ms back"
        estimate, mean = statistics.fmean(told), statistics.fmean(true)
        bound = max(SHARE * mean, BOUND_MS)
        yield judge(f"stamp ipdv {name}", condition, estimate, mean, "ms", bound, None, wire_late_us(log))


def counted(condition: str, out: Shape, back: Shape) -> Iterator[Row]:
    """Every count of the probe, which must be what the wire's log says, to the packet."""
    taken, log = measured(out, back)
    truth = sessions(log, COUNT)
    for name in ("sent", "received", "duplicate", "lost_out", "lost_back"):
        pairs = zip([each[name] for each in taken], [_true_count(each, name) for each in truth], strict=True)
        known = [(told, true) for told, true in pairs if told is not None]
        untold = len(taken) - len(known)
        estimate, true = sum(told for told, _ in known), sum(true for _, true in known)
        if estimate or true or untold:
            note = f"direction not told in {untold} of {len(taken)} rounds" if untold else ""
            what, late_us = f"stamp {name.replace('_', ' ')}", wire_late_us(log)
            row = judge(what, condition, estimate, true, "packets", 0, None, late_us, note)
            error = sum(abs(told - true) for told, true in known)
            yield replace(row, error=error, reached=error == 0 and untold <= len(taken) // 2)


def _true_count(journeys: Sequence[Journey], name: str) -> int:
    if name == "sent":
        return len(journeys)
    if name == "duplicate":
        return sum(each.copies - 1 for each in journeys if each.copies)
    return sum(each.fate == name for each in journeys)


def measured(
    out: Shape, back: Shape, target: str = FAR, signed: bool = False
) -> tuple[list[Round], list[Passage]]:
    """Rounds of the probe against the reflector on such a wire, and the wire's log of them."""
    with tempfile.TemporaryDirectory() as folder, Lab(out, back, seed=3) as lab:
        key_file = Path(folder, "key") if signed else None
        if key_file:
            key_file.write_text("only known to the two ends of this lab")
        with reflecting(lab, key_file):
            taken = rounds(lab, ROUNDS, target, key_file, **SETTINGS)
            lab.settle()
        return taken, lab.log()


def _answered(log: Sequence[Passage]) -> list[list[Journey]]:
    """The answered packets of each session."""
    return [[each for each in session if each.fate == "received"] for session in sessions(log, COUNT)]


def _nearest(what: str, condition: str, told: Sequence[float], true: Sequence[float], late_us: float) -> Row:
    """A row of medians, whose error is the median of the rounds' errors; none when a round has none."""
    whole = told if len(told) == len(true) else []
    shown = statistics.median(whole) if whole else None
    row = judge(what, condition, shown, statistics.median(true), "ms", BOUND_MS, None, late_us)
    if not whole:
        return row
    error = statistics.median(abs(a - b) for a, b in zip(whole, true, strict=True))
    return replace(row, error=error, reached=error <= row.bound)


def _variation_ms(times_ns: Sequence[int]) -> float:
    return statistics.fmean(abs(b - a) for a, b in pairwise(times_ns)) / 1e6
