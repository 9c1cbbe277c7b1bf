"""`linkview availability`: up, degraded, down and unknown time of a month, each apart from the others."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from cloud import __main__ as linkview
from cloud.availability import month
from cloud.buckets import FINE, FINE_MS
from cloud.rollup_item import of_batches
from cloud.target import TargetError
from cloud.uptime import Month, Uptime
from edge_agent.contract import Reading
from tests.cloud.records import NOW, batch, denied, echo, envelope, interface, records
from tests.cloud.views import STACK

if TYPE_CHECKING:
    from tests.cloud.conftest import Cloud

START = FINE.start(NOW)


def uptime(readings: Iterable[Reading], periods: int = 10, until_ms: int | None = None) -> Uptime:
    """The one link's time over so many periods from START."""
    until = START + periods * FINE_MS if until_ms is None else until_ms
    gathered = Month("gw", FINE, START, until, 0.02)
    for rollup in of_batches("gw", [batch("gw", list(readings))], START, until):
        gathered.add(rollup)
    (found,) = gathered.uptimes()
    assert found.up_ms + found.degraded_ms + found.down_ms + found.unknown_ms == until - START
    return found


def rounds(period: int, received: Iterable[int]) -> list[Reading]:
    """Echo rounds of 5 in a period, by how many came back."""
    return [
        echo("a.b", START + period * FINE_MS + 1_000 * at, received=each) for at, each in enumerate(received)
    ]


def test_time_without_readings_is_unknown_and_not_down() -> None:
    found = uptime(rounds(0, [5] * 10) + rounds(5, [5] * 10))
    assert (found.up_ms, found.down_ms, found.unknown_ms) == (2 * FINE_MS, 0, 8 * FINE_MS)
    assert found.available == 1


def test_a_link_that_nobody_could_measure_is_unknown_and_has_no_availability() -> None:
    found = uptime([denied("a.b", START + 1)])
    assert (found.known_ms, found.available) == (0, None)


def test_down_time_is_the_part_of_rounds_that_got_nothing_back() -> None:
    found = uptime(rounds(0, [5, 5, 5, 0]), periods=1)
    assert (found.up_ms, found.down_ms, found.degraded_ms) == (FINE_MS * 3 // 4, FINE_MS // 4, 0)


def test_loss_of_the_rounds_that_were_up_makes_a_period_degraded() -> None:
    found = uptime(rounds(0, [5, 4, 5, 4]) + rounds(1, [5] * 60), periods=2)
    assert (found.degraded_ms, found.up_ms, found.down_ms) == (FINE_MS, FINE_MS, 0)


def test_an_interface_that_was_gone_counts_when_no_probe_could_say_it() -> None:
    found = uptime([*rounds(0, [5]), interface("a.b", START + 200_000, up=0)], periods=1)
    assert found.down_ms == FINE_MS


def test_a_link_read_once_in_5_minutes_is_known_although_its_rounds_are_jittered() -> None:
    found = uptime(rounds(0, [5]) + rounds(2, [0]) + rounds(5, [5]), periods=6)
    assert (found.up_ms, found.down_ms, found.unknown_ms) == (3 * FINE_MS, FINE_MS, 2 * FINE_MS)


def test_a_silence_of_a_link_that_is_read_often_is_not_bridged() -> None:
    found = uptime(rounds(0, [5, 5]) + rounds(2, [5, 5]), periods=3)
    assert found.unknown_ms == FINE_MS


def test_the_month_that_is_not_over_ends_now() -> None:
    found = uptime(rounds(0, [5] * 3), until_ms=START + 100_000)
    assert (found.up_ms, found.unknown_ms) == (100_000, 0)


def test_a_month_is_utc_and_as_long_as_it_is() -> None:
    assert [(b - a) // 86_400_000 for a, b in map(month, ("2026-11", "2026-12", "2028-02"))] == [30, 31, 29]
    assert month("2026-12")[1] == month("2027-01")[0]


@pytest.mark.parametrize("text", ["2026", "2026-13", "2026-00", "11-2026", "1999-01", "2026-11-01", "x"])
def test_anything_else_is_no_month(text: str) -> None:
    with pytest.raises(TargetError, match="is no month") as caught:
        month(text)
    assert caught.value.code == 2


# --- the command ----------------------------------------------------------------------------------


MONTH = f"{datetime.now(UTC) - timedelta(days=2):%Y-%m}"
"""A month that has begun, recent enough for 5-minute rollups."""


@pytest.fixture
def filled(cloud: Cloud) -> Cloud:
    """Ten minutes of two links on one gateway; one of them was down for a period."""
    start = month(MONTH)[0] + 3_600_000
    for period in range(2):
        at = start + period * FINE_MS
        readings = [echo("good", at + 10_000 * each) for each in range(10)]
        readings += [echo("bad", at + 1 + 10_000 * each, received=5 * period) for each in range(10)]
        sent = batch("gw-1", readings, sequence=20 * period)
        assert cloud.ingest(records(envelope(sent, rx=at + 100_000)), now_ms=at + 100_000) == []
    return cloud


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert linkview.main(["availability", "--stack", STACK, "--month", MONTH, *arguments]) == 0
    return capsys.readouterr().out


def test_each_link_of_the_month_is_shown_the_least_available_first(
    filled: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [line.split() for line in run(capsys).splitlines() if "gw-1" in line]
    assert [line[:6] for line in lines] == [
        ["bad", "gw-1", "50.000", "0:05", "0:00", "0:05"],
        ["good", "gw-1", "100.000", "0:10", "0:00", "0:00"],
    ]


def test_for_machines_unknown_and_down_are_apart(filled: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = json.loads(run(capsys, "--link", "bad", "--json"))
    assert (found["up_ms"], found["down_ms"], found["degraded_ms"]) == (FINE_MS, FINE_MS, 0)
    assert found["available"] == 0.5
    assert found["unknown_ms"] > 86_400_000


def test_the_time_to_come_of_a_month_is_nothing_at_all(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    now_ms = time.time_ns() // 1_000_000
    assert cloud.ingest(records(envelope(batch("gw-1", [echo("a.b", now_ms)]), rx=now_ms)), now_ms) == []
    arguments = ["availability", "--stack", STACK, "--json"]
    assert linkview.main(arguments) == 0
    (found,) = json.loads(capsys.readouterr().out)
    passed = sum(found[f"{state}_ms"] for state in ("up", "degraded", "down", "unknown"))
    began = month(found["month"])[0]
    assert now_ms - began <= passed <= time.time_ns() // 1_000_000 - began


def test_a_link_without_readings_in_the_month_is_one_line(
    filled: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    assert linkview.main(["availability", "--stack", STACK, "--month", MONTH, "--link", "x"]) == 1
    assert capsys.readouterr().err.startswith(f"linkview: nothing of link x in {MONTH}")


def test_a_gateway_that_is_not_known_is_one_line(filled: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    assert linkview.main(["availability", "--stack", STACK, "--month", MONTH, "--gateway", "nope"]) == 1
    assert capsys.readouterr().err.startswith("linkview: no gateway nope on")


def test_a_month_that_has_not_begun_is_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert linkview.main(["availability", "--month", "2099-01"]) == 2
    assert "has not begun yet" in capsys.readouterr().err
