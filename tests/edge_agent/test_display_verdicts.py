"""A reading in one word and one line, and columns that align."""

from __future__ import annotations

import io

import pytest

from edge_agent.contract import KINDS, Flag, Outcome, Reading, not_measured
from edge_agent.display import report, summary, table, verdict
from edge_agent.display.terminal import Palette


def reading(kind: str, **values: int) -> Reading:
    columns = KINDS[kind].columns
    return Reading("north", kind, 0, tuple(values.get(column.name) for column in columns), Flag.NONE)


def test_loss_is_of_what_had_its_time_and_never_of_what_is_in_flight() -> None:
    late = reading("echo", sent=10, received=6, late=1, in_flight=2, duplicate=0, corrupt=0, rtt_min_us=1000)
    assert report("x", late)[1] == "10 sent, 6 received, 12.5 % lost, 1 late, 2 still in flight"
    assert report("x", reading("echo", sent=2, received=0, in_flight=2))[1].startswith(
        "2 sent, 0 received, loss not known"
    )


def test_what_was_not_measured_is_never_a_figure() -> None:
    denied = not_measured("north", "echo", 0, Outcome.DENIED)
    assert (verdict(denied), summary(denied)) == ("denied", "not measured")
    assert report("echo x", denied) == ["echo x: not measured: denied"]


@pytest.mark.parametrize(
    ("given", "word", "line"),
    [
        (
            reading("echo", sent=5, received=5, rtt_min_us=1000, rtt_p50_us=1500, rtt_max_us=2000),
            "ok",
            "5/5 replies, rtt 1.000/1.500/2.000 ms (min/p50/max)",
        ),
        (reading("echo", sent=5, received=4), "degraded", "4/5 replies, rtt -/-/- ms (min/p50/max)"),
        (reading("echo", sent=5, received=0), "down", "0/5 replies, rtt -/-/- ms (min/p50/max)"),
        (
            reading("connect", sent=3, connected=3, connect_min_us=1, connect_p50_us=2, connect_max_us=3),
            "ok",
            "3/3 connected, 0.001/0.002/0.003 ms (min/p50/max)",
        ),
        (
            reading("interface", up=1, speed_kbps=100_000, full_duplex=1, mtu=1500),
            "ok",
            "up, 100 Mbit/s full duplex, MTU 1500 B, counters from the next round on",
        ),
        (
            reading(
                "interface", up=0, mtu=1500, period_ms=2000, rx_bytes=250_000, tx_bytes=500_000, full_duplex=0
            ),
            "down",
            "down, speed not reported half duplex, MTU 1500 B, receiving 1 Mbit/s, sending 2 Mbit/s",
        ),
    ],
)
def test_a_reading_in_one_word_and_one_line(given: Reading, word: str, line: str) -> None:
    assert (verdict(given), summary(given)) == (word, line)


def test_columns_align_whatever_they_hold() -> None:
    plain = Palette(io.StringIO(), {})
    lines = table([("a", "long cell", "x"), ("longer", "b", "y")], ("ONE", "TWO", "THREE"), plain)
    assert lines == ["ONE     TWO        THREE", "a       long cell  x", "longer  b          y"]
