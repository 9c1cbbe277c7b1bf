"""`linkview gaps`: what is missing is listed for people and machines, and asked for."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from cloud import gaps_item
from cloud.target import Target
from edge_agent.contract import Loss, Reading, row
from infrastructure.local.iot.data_plane import DataPlane
from tests.cloud import aside_cloud
from tests.cloud.aside_cloud import Aside
from tests.cloud.gaps_cloud import HOUR, telling, told
from tests.cloud.records import EPOCH, batch, echo
from tests.cloud.rollup_cloud import Rolled
from tests.cloud.test_resend import data_client


@pytest.fixture(scope="module")
def deployed(session: None) -> Target:
    return aside_cloud.create()


@pytest.fixture
def aside(deployed: Target, capsys: pytest.CaptureFixture[str]) -> Iterator[Aside]:
    yield from aside_cloud.opened(deployed, capsys)


def fill(aside: Aside) -> None:
    """Two gateways: one with holes, told and untold, an hour old; one whole."""
    start = time.time_ns() // 1_000_000 - HOUR
    readings = [
        [echo(at_ms=start + 1_000 * number) for number in range(first, first + 6)] for first in (0, 30)
    ]
    batches = [batch("gw-1", readings[0], 0), batch("gw-1", readings[1], 30)]
    batches.append(
        telling(told(10, 5, Loss.DAMAGED, at_ms=start), told(None, 7, Loss.MEMORY, at_ms=start), first=36)
    )
    rolled = Rolled(aside.cloud)
    rolled.store([*batches, batch("gw-2", readings[0], 0)], start + 60_000)


def test_a_scan_shows_what_is_missing_with_reasons_for_people_and_machines(aside: Aside) -> None:
    fill(aside)
    assert "no readings are known to be missing" in aside.run("gaps")[1]
    found = aside.json("gaps", "--scan", "--since", "1d")
    assert [(each["first_sequence"], each["last_sequence"], each["reason"]) for each in found] == [
        (6, 9, "unknown"),
        (10, 14, "damaged"),
        (15, 29, "unknown"),
        (None, None, "memory"),
    ]
    assert {each["epoch"] for each in found} == {f"{EPOCH:016x}", None}
    code, out, _ = aside.run("gaps")
    assert code == 0
    assert "6–9" in out
    assert "never numbered" in out
    assert "31 readings are missing, 19 for an unknown reason: linkview gaps ask" in out
    assert aside.json("gaps", "--gateway", "gw-2") == []


@pytest.mark.parametrize("action", ["list", "ask"])
def test_a_gateway_that_is_not_known_is_an_error_not_good_news(aside: Aside, action: str) -> None:
    code, out, err = aside.run("gaps", action, "--gateway", "nope")
    assert (code, out) == (1, "")
    assert "no gateway nope on" in err


def test_a_time_that_no_calendar_has_is_shown_as_such(aside: Aside) -> None:
    rolled, start = Rolled(aside.cloud), time.time_ns() // 1_000_000 - HOUR
    values = row("gap", reason=1, epoch=EPOCH, first_sequence=3, count=2, from_ms=1 << 62, until_ms=1 << 62)
    absurd = Reading("host", "gap", start, values)
    rolled.store([batch("gw-1", [echo(at_ms=start)], 0), telling(absurd, first=9)], start + 60_000)
    code, out, _ = aside.run("gaps", "--scan", "--since", "1d")
    assert code == 0
    assert "an impossible time" in out


def test_asking_publishes_through_iot_data_and_is_shown_until_it_is_answered(
    aside: Aside, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(aside)
    aside.run("gaps", "--scan", "--since", "1d")
    heard: list[tuple[str, bytes, int]] = []
    plane = DataPlane(lambda topic, payload, qos: heard.append((topic, payload, qos)))
    plane.start()
    monkeypatch.setattr(Target, "iot_data", lambda self: data_client(plane))
    asked = aside.json("gaps", "ask", "--dry-run")
    assert (len(asked), heard) == (2, [])
    assert aside.run("gaps", "ask")[0] == 0
    assert {topic for topic, _, _ in heard} == {"linkpulse/v1/gw-1/resend"}
    assert {qos for _, _, qos in heard} == {1}
    assert sorted((json.loads(each)["first"], json.loads(each)["last"]) for _, each, _ in heard) == [
        (6, 9),
        (15, 29),
    ]
    assert aside.json("gaps", "ask") == []
    assert len(aside.json("gaps", "ask", "--again")) == 2
    start = time.time_ns() // 1_000_000 - HOUR
    answer = batch("gw-1", [echo(at_ms=start + 1_000 * number) for number in range(6, 10)], 6)
    Rolled(aside.cloud).store([answer], start + 120_000)
    found = aside.json("gaps", "--scan", "--since", "1d")
    filled = [(each["first_sequence"], each["filled"]) for each in found if each["asked_ms"]]
    assert filled == [(6, True), (15, False)]
    plane.stop()


def test_one_unreadable_item_of_gaps_is_told_after_the_others_are_listed(aside: Aside) -> None:
    fill(aside)
    aside.run("gaps", "--scan", "--since", "1d")
    broken = {**gaps_item.key("gw-2"), "g": {"B": b"newer"}, "rev": {"N": "4"}}
    aside.cloud.client.put_item(TableName=aside.cloud.settings.readings_table, Item=broken)
    code, out, err = aside.run("gaps")
    assert code == 1
    assert "6–9" in out
    assert "gw-2" in err
    assert len(err.splitlines()) == 1
