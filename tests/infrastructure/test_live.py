"""The demo's view: rates over its window, health and figures, from what the parts write."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from infrastructure.demo_agent import default_route, targets
from infrastructure.live import Figures, Snapshot, draw, plain, rate


def snapshot(at_s: float, lag_ms: int = 0, failed: tuple[str, ...] = (), /, **counts: int) -> Snapshot:
    return Snapshot(at_s, {"measured": 0, "acknowledged": 0, **counts}, lag_ms, failed)


def test_a_rate_is_the_mean_over_the_window() -> None:
    history = deque([snapshot(10, measured=100), snapshot(11, measured=900), snapshot(14, measured=180)])
    assert rate(history, "measured") == pytest.approx(20)
    assert rate(deque([snapshot(10, measured=100)]), "measured") == 0


def test_the_view_shows_totals_lag_and_a_failed_part() -> None:
    last = snapshot(12, 2_500, ("broker",), measured=1_234)
    console = Console(width=100, record=True)
    console.print(draw(deque([snapshot(10), last]), 12, 40, Text("the worst")))
    said = console.export_text()
    assert "1,234" in said
    assert "617.0" in said
    assert "12 of 40 s" in said
    assert "2.5 s" in said
    assert "broker has failed" in said
    assert "the worst" in said


def test_a_plain_line_fits_a_terminal_and_names_a_failed_part() -> None:
    line = plain(
        snapshot(40, 900, measured=123_456, acknowledged=123_456, **{"metric.Readings": 123_456}), 40
    )
    assert len(line) <= 80
    assert "FAILED" not in line
    assert "broker FAILED" in plain(snapshot(40, 0, ("broker",)), 40)


def test_figures_are_what_the_parts_have_written(tmp_path: Path) -> None:
    record = tmp_path / "agent.jsonl"
    figures = Figures(tmp_path, record)
    assert figures.take().counts == {"measured": 0, "acknowledged": 0}
    record.write_text("{}\n{}\n")
    (tmp_path / "fleet.json").write_text(json.dumps({"accepted": 10, "acknowledged": 7}))
    parts = {"broker": {"state": "failed"}, "engine": {"state": "running"}}
    status = {"counters": {"metric.Readings": 5}, "iterator_age_ms": 70, "parts": parts}
    (tmp_path / "status.json").write_text(json.dumps(status))
    taken = figures.take()
    assert taken.counts == {"measured": 12, "acknowledged": 7, "metric.Readings": 5}
    assert (taken.lag_ms, taken.failed) == (70, ("broker",))
    with record.open("a") as more:
        more.write("{}\n")
    assert figures.take().counts["measured"] == 13


ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth1\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
"""


def test_the_next_hop_is_that_of_the_default_route() -> None:
    assert default_route(ROUTES) == ("eth0", "192.0.2.1")
    assert default_route(ROUTES.splitlines()[0]) is None


def test_the_demo_probes_this_machine_at_least() -> None:
    found = {target.id: target for target in targets()}
    assert found["demo.lo"].target == "127.0.0.1"
