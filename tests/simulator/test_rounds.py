"""When gateways measure: with a past first, at its own pace, then live without a break."""

from __future__ import annotations

from itertools import pairwise

import pytest

from simulator.rounds import Past, Plan, Round, Rounds

START_MS = 1_790_000_000_000


def rounds(past: Past | None, until_ms: int = 60_000, gateways: int = 5) -> list[Round]:
    """All rounds up to so long after the start."""
    found, due = [], Rounds(Plan(10_000, None, 5_000, past), 1, gateways, START_MS)
    while due.next_ms < START_MS + until_ms:
        found.append(due.take())
    return found


def of_each(given: list[Round]) -> list[list[Round]]:
    """The rounds by gateway."""
    return [[each for each in given if each.gateway == index] for index in {each.gateway for each in given}]


def test_rounds_come_in_the_order_of_their_times() -> None:
    for past in (None, Past(600_000, 30_000)):
        times = [each.at_ms for each in rounds(past)]
        assert times == sorted(times)


def test_the_past_begins_so_long_before_the_run_and_ends_where_it_begins() -> None:
    found = rounds(Past(600_000, 30_000))
    first, last = found[0].at_ms, max(each.at_ms for each in found if each.at_ms < START_MS)
    assert START_MS - 600_000 <= first < START_MS - 570_000
    assert START_MS - 30_000 <= last < START_MS


def test_the_past_has_its_own_interval_and_each_gateway_as_many_rounds() -> None:
    for own in of_each(rounds(Past(600_000, 30_000))):
        past = [each.at_ms for each in own if each.at_ms < START_MS]
        assert {later - earlier for earlier, later in pairwise(past)} == {30_000}
        assert len(past) == 20


def test_live_rounds_are_the_same_with_a_past_and_without() -> None:
    live = [each[:2] for each in rounds(Past(600_000, 30_000)) if each.at_ms >= START_MS]
    assert live == [each[:2] for each in rounds(None)]
    assert len(live) == 5 * 6


@pytest.mark.parametrize("past", [None, Past(600_000, 30_000), Past(5_000, 30_000)])
def test_each_round_knows_how_long_ago_the_one_before_was(past: Past | None) -> None:
    for own in of_each(rounds(past)):
        assert own[0].period_ms is None
        steps = [later.at_ms - earlier.at_ms for earlier, later in pairwise(own)]
        assert [each.period_ms for each in own[1:]] == steps
