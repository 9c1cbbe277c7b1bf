"""`linkview history --step`: the same figures from rollups and from chunks, for people and for machines."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cloud import __main__ as linkview
from cloud import queries
from cloud.buckets import DAY, FINE, HOUR
from cloud.history_steps import step_of
from cloud.keys import DAY_MS, HOUR_MS
from tests.cloud.conftest import Cloud
from tests.cloud.records import NOW, batch, denied, echo, interface
from tests.cloud.rollup_cloud import Rolled
from tests.cloud.views import STACK

START = NOW // DAY_MS * DAY_MS
RANGE = ("--since", "2026-11-21T00:00", "--until", "2026-11-22T00:00")


@pytest.fixture
def day(cloud: Cloud) -> Rolled:
    """A day of two gateways with a link of the same name: a batch an hour of a round each 5 minutes."""
    assert START == 1_795_219_200_000, "RANGE is the day of NOW"
    rolled = Rolled(cloud)
    for hour in range(24):
        at = START + hour * HOUR_MS
        readings = [echo("a.b", at + k * 300_000, 5_000 + 100 * hour + k, received=4) for k in range(12)]
        readings += [interface("a.b", at + 1), denied("a.d", at + 2), echo("a.e", at, received=0)]
        rolled.deliver([batch("gw-1", readings, sequence=100 * hour)], at + HOUR_MS)
    rolled.deliver([batch("gw-2", [echo("a.b", START)])], START + 1)
    return rolled


def show(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    code = linkview.main(["history", *arguments, "--gateway", "gw-1", *RANGE, "--stack", STACK])
    assert code == 0
    return capsys.readouterr().out


def test_history_of_a_day_is_the_same_from_chunks_and_from_rollups(
    day: Rolled, capsys: pytest.CaptureFixture[str]
) -> None:
    def by_steps() -> dict[str, str]:
        steps = ("auto", "5m", "1h", "1d")
        return {step: show(capsys, "a.b", "--step", step, "--kind", "echo", "--json") for step in steps}

    of_chunks = by_steps()
    periods = {step: len(json.loads(out)) for step, out in of_chunks.items()}
    assert periods == {"auto": 288, "5m": 288, "1h": 24, "1d": 1}
    day.roll(START + 5 * HOUR_MS)
    assert 0 < len(day.stored("5m")) < 288
    assert by_steps() == of_chunks, "partly of rollups"
    day.roll(START + 3 * DAY_MS)
    assert len(day.stored("5m")) > 288
    for item in day.cloud.chunks():
        key = {"p": item["p"], "s": item["s"]}
        day.cloud.client.delete_item(TableName=day.cloud.settings.readings_table, Key=key)
    assert by_steps() == of_chunks, "of rollups alone"


def test_history_by_steps_agrees_with_the_single_readings(
    day: Rolled, capsys: pytest.CaptureFixture[str]
) -> None:
    day.roll(START + 3 * DAY_MS)
    raw = json.loads(show(capsys, "a.b", "--step", "raw", "--kind", "echo", "--json"))
    (found,) = json.loads(show(capsys, "a.b", "--step", "1d", "--kind", "echo", "--json"))
    assert (found["readings"], found["sent"]) == (len(raw), sum(each["sent"] for each in raw))
    assert found["lost"] == sum(each["sent"] - each["received"] for each in raw)
    assert found["rtt_min_us"] == min(each["rtt_min_us"] for each in raw)
    assert found["rtt_max_us"] == max(each["rtt_max_us"] for each in raw)
    mean = sum(each["rtt_mean_us"] * 4 for each in raw) / (4 * len(raw))
    assert abs(found["rtt_mean_us"] - mean) <= 0.5
    medians = sorted(each["rtt_p50_us"] for each in raw)
    assert found["rtt_p50_us"] == pytest.approx(medians[len(medians) // 2 - 1], rel=0.01)


def test_people_see_units_and_a_dash_for_what_was_not_measured(
    day: Rolled, capsys: pytest.CaptureFixture[str]
) -> None:
    out = show(capsys, "a.b", "--step", "1h")
    assert "echo of a.b of gw-1, by 1h" in out
    for header in ("loss %", "min ms", "p50 ms", "p95 ms", "p99 ms", "max ms"):
        assert header in out
    assert out.count("20.0") >= 24
    assert "also there: --kind interface" in out
    assert "rx mean Mbit/s" in show(capsys, "a.b", "--step", "1h", "--kind", "interface")
    dead = [line for line in show(capsys, "a.e", "--step", "1d").splitlines() if "Z " in line]
    assert len(dead) == 1
    assert "100.0" in dead[0]
    assert "–" in dead[0]
    denied_line = next(line for line in show(capsys, "a.d", "--step", "1d").splitlines() if "Z " in line)
    assert "0.0" not in denied_line


def test_null_is_what_was_not_measured_for_machines(day: Rolled, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = json.loads(show(capsys, "a.d", "--step", "1d", "--json"))
    assert (found["readings"], found["measured"], found["sent"], found["lost"]) == (24, 0, 0, 0)
    assert found["rtt_p50_us"] is None


def test_nothing_in_the_range_says_so(day: Rolled, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--gateway", "gw-1", "--since", "2026-10-01", "--until", "2026-10-02", "--stack", STACK]
    assert linkview.main(["history", "a.b", *arguments]) == 0
    assert "nothing of a.b of gw-1" in capsys.readouterr().out
    assert linkview.main(["history", "no", *arguments]) == 1
    assert "no link no" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "span_ms", "step"),
    [
        ("auto", HOUR_MS, None),
        ("auto", 6 * HOUR_MS, None),
        ("auto", DAY_MS, FINE),
        ("auto", 7 * DAY_MS, HOUR),
        ("auto", 90 * DAY_MS, DAY),
        ("raw", 90 * DAY_MS, None),
        ("1d", HOUR_MS, DAY),
    ],
)
def test_the_step_suits_the_range_unless_it_is_named(name: str, span_ms: int, step: Any) -> None:
    assert step_of(name, START, START + span_ms) == step


def test_the_graph_holds_every_link_once_the_pass_was_there(day: Rolled, target: Any) -> None:
    assert queries.snapshot(target) is None
    for passes, page in ((1, 1), (2, 1), (3, 100)):
        day.roll(START + DAY_MS + passes * FINE.length_ms, page=page)
        found = queries.snapshot(target)
        assert found is not None
        assert [(edge.gateway, edge.link, edge.kind) for edge in found.edges] == [
            ("gw-1", "a.b", "echo"),
            ("gw-1", "a.d", "echo"),
            ("gw-1", "a.e", "echo"),
            ("gw-2", "a.b", "echo"),
        ]
        assert (found.edges[2].sent, found.edges[2].lost, found.edges[2].p50_us) == (5, 5, None)
