"""Rollups of what came late, twice or out of order, and of two passes at once."""

from __future__ import annotations

from typing import Any

import pytest

from cloud.buckets import FINE, LEEWAY_MS, SETTLE_MS
from cloud.keys import DAY_MS, HOUR_MS
from tests.cloud.conftest import Faulty
from tests.cloud.records import batch, echo
from tests.cloud.rollup_cloud import Rolled, in_memory
from tests.cloud.rollup_minutes import MINUTE, START, check, minutes


@pytest.fixture
def rolled() -> Rolled:
    return in_memory()


def test_live_batches_leave_no_mark(rolled: Rolled) -> None:
    for minute in range(1, 20):
        now = START + minute * MINUTE + 45_000
        assert rolled.deliver(minutes("gw-1", minute, minute + 1), now).hours == {}


def test_a_mark_is_left_before_a_period_could_have_been_rolled_up(rolled: Rolled) -> None:
    sent = [batch("gw-1", [echo("a.b", START + 1_000)])]
    early = START + FINE.length_ms + SETTLE_MS - LEEWAY_MS
    assert rolled.deliver(sent, early - 1).hours == {}
    assert [*rolled.deliver(sent, early).hours] == [("gw-1", START)]


def test_late_data_are_in_their_periods_after_the_next_pass_and_their_mark_is_gone(rolled: Rolled) -> None:
    sent = minutes("gw-1", 0, 120)
    on_time, late = sent[:30] + sent[70:], sent[30:70]
    rolled.deliver(on_time, START + 120 * MINUTE)
    rolled.roll(START + 3 * HOUR_MS)
    rolled.deliver(late, START + 3 * HOUR_MS + MINUTE)
    assert len(rolled.marks()) == 2
    counted = rolled.roll(START + 3 * HOUR_MS + 2 * MINUTE)
    assert counted["RollupRecomputed"] == 2
    assert rolled.marks() == []
    check(rolled, sent, START + 3 * HOUR_MS)


def test_late_data_of_a_day_that_is_rolled_up_change_that_day(rolled: Rolled) -> None:
    sent = minutes("gw-1", 0, 60)
    rolled.roll(START + SETTLE_MS)
    rolled.deliver(sent[:30], START + 30 * MINUTE)
    rolled.roll(START + DAY_MS + HOUR_MS)
    rolled.deliver(sent[30:], START + DAY_MS + HOUR_MS)
    rolled.roll(START + DAY_MS + HOUR_MS + MINUTE)
    check(rolled, sent, START + DAY_MS + HOUR_MS)


def test_a_day_before_the_first_pass_is_not_made_of_the_few_hours_that_came_late(rolled: Rolled) -> None:
    sent = minutes("gw-1", 0, 120)
    rolled.store(sent[:60], START + HOUR_MS)
    now = START + DAY_MS + HOUR_MS
    rolled.roll(now)
    rolled.deliver(sent[61:], now)
    rolled.roll(now + MINUTE)
    assert [start for _, start in rolled.stored("1h")] == [START + HOUR_MS]
    assert rolled.stored("1d") == {}


def test_data_beyond_the_window_are_counted_and_change_nothing(rolled: Rolled) -> None:
    rolled.deliver(minutes("gw-1", 0, 10), START + 10 * MINUTE)
    rolled.roll(START + HOUR_MS)
    before = rolled.cloud.everything()
    old = batch("gw-1", [echo("a.b", START - 21 * DAY_MS)])
    found = rolled.mark(rolled.arrivals([old], START + HOUR_MS), START + HOUR_MS)
    assert (found.hours, found.late, found.beyond) == ({}, 1, 1)
    assert rolled.cloud.everything() == before


def test_a_mark_that_waited_beyond_the_window_is_counted_and_removed(rolled: Rolled) -> None:
    rolled.deliver(minutes("gw-1", 0, 5), START + HOUR_MS)
    assert rolled.roll(START + 22 * DAY_MS)["RollupBeyondWindow"] == 1
    assert rolled.marks() == []


def test_a_clock_that_runs_ahead_is_rolled_up_when_its_time_comes(rolled: Rolled) -> None:
    sent = [batch("gw-1", [echo("a.b", START + 5 * HOUR_MS)])]
    rolled.deliver(sent, START + MINUTE)
    rolled.roll(START + HOUR_MS)
    assert rolled.marks() != []
    rolled.roll(START + 7 * HOUR_MS)
    check(rolled, sent, START + 7 * HOUR_MS)
    assert rolled.marks() == []


def test_a_mark_put_again_while_it_is_worked_on_stays(rolled: Rolled) -> None:
    sent = minutes("gw-1", 0, 10)
    rolled.deliver(sent[:5], START + HOUR_MS)

    def arrive(operation: str, request: dict[str, Any]) -> Any:
        if operation == "delete_item":
            rolled.deliver(sent[5:], START + 2 * HOUR_MS)

    rolled.roll(START + 2 * HOUR_MS, Faulty(rolled.cloud.client, arrive))
    assert len(rolled.marks()) == 1
    rolled.roll(START + 2 * HOUR_MS + MINUTE)
    check(rolled, sent, START + HOUR_MS)


def test_a_rollup_of_fewer_chunks_never_replaces_one_of_more(rolled: Rolled) -> None:
    """A slow pass puts what it read long ago after a fast one knew more."""
    sent = minutes("gw-1", 0, 10)
    rolled.deliver(sent[:5], START + 10 * MINUTE)
    between: list[int] = []

    def slow(operation: str, request: dict[str, Any]) -> Any:
        if operation == "put_item" and request["Item"]["p"]["S"].startswith("R#") and not between:
            between.append(1)
            rolled.deliver(sent[5:], START + HOUR_MS)
            rolled.roll(START + HOUR_MS + SETTLE_MS)

    rolled.roll(START + HOUR_MS + SETTLE_MS, Faulty(rolled.cloud.client, slow))
    rolled.roll(START + HOUR_MS + SETTLE_MS + MINUTE)
    check(rolled, sent, START + HOUR_MS)


def test_two_passes_at_once_come_to_the_same(rolled: Rolled) -> None:
    """A second whole pass runs before every single call of the first."""
    sent = minutes("gw-1", 53, 64) + minutes("gw-2", 58, 69)
    rolled.deliver(sent[::2], START + 70 * MINUTE)
    now = START + 2 * HOUR_MS + SETTLE_MS
    depth: list[int] = []

    def other(operation: str, request: dict[str, Any]) -> Any:
        if not depth:
            depth.append(1)
            rolled.deliver(sent[1::2][len(rolled.said) : len(rolled.said) + 1], now)
            rolled.roll(now)
            depth.pop()

    rolled.roll(now, Faulty(rolled.cloud.client, other), page=1)
    assert len(rolled.said) > len(sent[1::2]) + 1
    rolled.roll(now + MINUTE)
    check(rolled, sent, START + 2 * HOUR_MS)
