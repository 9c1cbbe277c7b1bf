"""Gaps that the rollup pass asks for: at most once an hour, not too many, by one of two."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cloud import resend, rollup
from cloud.gaps_state import Gaps, observe
from cloud.gaps_watch import COUNTS
from cloud.resend import Policy
from edge_agent.uplink.resends import parse_command
from tests.cloud.conftest import Bus, Cloud, Faulty, patience
from tests.cloud.gaps_cloud import HOUR, NOON, Published, minute, ranges, roll, store, watch
from tests.cloud.records import EPOCH
from tests.cloud.rollup_cloud import Rolled, in_memory


@pytest.fixture
def cloud() -> Cloud:
    """The tables in memory."""
    return in_memory().cloud


# --- the function ---------------------------------------------------------------------------------


def test_the_function_rolls_up_keeps_gaps_asks_for_them_and_sends_the_metrics_of_both() -> None:
    rolled, published, now_ms = in_memory(), Published(), NOON + 2 * HOUR
    rolled.deliver([minute(0), minute(5)], NOON + 400_000)
    settings = replace(rolled.settings, resend_hours=24)
    parts = rollup.make(settings, rolled.cloud.client, lambda: now_ms, rolled.said.append, published, Bus())
    parts.run(now_ms, patience())
    first, second = [line for line in rolled.said if "_aws" in line]
    assert first["RollupPeriods"] == 3
    asked = {"GapsMissing": 24, "GapsUnknown": 24, "GapsAsked": 1, "GapsUnreadable": 0, "GapsNotPublished": 0}
    assert {name: second[name] for name in COUNTS} == asked
    assert [topic for topic, _ in published.sent] == ["linkpulse/v1/gw-1/resend"]


@pytest.mark.parametrize(("hours", "publishes"), [(1, True), (24, False)], ids=["too old", "nobody to tell"])
def test_nothing_is_asked_for_that_is_too_old_or_where_it_is_switched_off(
    hours: int, publishes: bool
) -> None:
    rolled, published, now_ms = in_memory(), Published(), NOON + 2 * HOUR
    rolled.deliver([minute(0), minute(5)], NOON + 400_000)
    settings = replace(rolled.settings, resend_hours=hours)
    publish = published if publishes else None
    parts = rollup.make(settings, rolled.cloud.client, lambda: now_ms, rolled.said.append, publish, Bus())
    parts.run(now_ms, patience())
    assert rolled.said[-1]["GapsUnknown"] == 24
    assert published.sent == []


# --- asked for ------------------------------------------------------------------------------------


def test_the_pass_asks_for_a_hole_once_an_hour_in_the_words_that_the_agent_understands(cloud: Cloud) -> None:
    rolled, published = Rolled(cloud), Published()
    rolled.deliver([minute(0), minute(5)], NOON + 400_000)
    for at in (NOON + HOUR + 900_000, NOON + HOUR + 1_200_000):
        roll(rolled, at, policy=Policy(24 * HOUR), publish=published)
    ((topic, payload),) = published.sent
    assert topic == "linkpulse/v1/gw-1/resend"
    wanted = parse_command(payload)
    assert (wanted.epoch, wanted.first, wanted.last) == (EPOCH, 6, 29)
    again = watch(cloud, NOON + 3 * HOUR, policy=Policy(24 * HOUR), publish=published)
    again("gw-1", [minute(5)], NOON, NOON + HOUR, NOON)
    assert len(published.sent) == 2


def test_a_request_that_could_not_be_published_is_counted_and_stops_no_pass(cloud: Cloud) -> None:
    observer = watch(cloud, NOON + 2 * HOUR, policy=Policy(24 * HOUR), publish=Published(fails=True))
    observer("gw-1", [minute(0), minute(5)], NOON, NOON + HOUR, NOON)
    assert observer.counts["GapsNotPublished"] == 1
    assert ranges(store(cloud).get("gw-1").gaps) == [(6, 30)]


def test_a_fault_of_the_whole_fleet_is_no_flood_of_requests(cloud: Cloud) -> None:
    published = Published()
    observer = watch(cloud, NOON + 2 * HOUR, policy=Policy(24 * HOUR), publish=published, most=3)
    for number in range(6):
        name = f"gw-{number}"
        observer(name, [minute(0, name), minute(5, name)], NOON, NOON + HOUR, NOON)
    assert len(published.sent) == 3


def test_of_two_who_ask_at_once_one_does(cloud: Cloud) -> None:
    store(cloud).change("gw-1", lambda gaps: observe(gaps, [minute(0), minute(5)]).gaps, NOON)
    policy, published = Policy(24 * HOUR), Published()
    inner = iter(range(1))

    def choose(gaps: Gaps) -> Any:
        return policy.due(gaps, NOON + 2 * HOUR)

    def meanwhile(operation: str, request: dict[str, Any]) -> None:
        if operation == "put_item" and next(inner, None) is not None:
            resend.ask_gateway(store(cloud), published, "gw-1", choose, NOON + 2 * HOUR)

    raced = store(cloud, Faulty(cloud.client, meanwhile))
    assert resend.ask_gateway(raced, published, "gw-1", choose, NOON + 2 * HOUR) == []
    assert len(published.sent) == 1
