"""Gaps of a gateway that sends nothing more: asked for again each hour while they are young, for little."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from cloud.resend import Policy
from tests.cloud.conftest import Cloud, Faulty
from tests.cloud.gaps_cloud import HOUR, NOON, Published, minute, roll, store, watch
from tests.cloud.rollup_cloud import Rolled, in_memory
from tests.cloud.rollup_minutes import CrashError

PASS = 300_000
CLOSED = NOON + HOUR + 600_000
"""The pass that finds the hole."""
YOUNG = Policy(24 * HOUR)


@pytest.fixture
def rolled() -> Rolled:
    return silent()


def silent() -> Rolled:
    """A gateway with a hole, which falls silent before anybody knows of it."""
    made = in_memory()
    made.deliver([minute(0), minute(5)], NOON + 400_000)
    return made


def passes(
    rolled: Rolled, since_ms: int, until_ms: int, published: Published, client: Any = None
) -> list[int]:
    """A pass every 5 minutes; returns when each request was published."""
    found: list[int] = []
    for now_ms in range(since_ms, until_ms, PASS):
        before = len(published.sent)
        roll(rolled, now_ms, client, policy=YOUNG, publish=published)
        found += [now_ms] * (len(published.sent) - before)
    return found


def test_a_hole_is_asked_for_each_hour_until_it_is_too_old(rolled: Rolled) -> None:
    found = passes(rolled, CLOSED, NOON + 48 * HOUR, Published())
    assert found == [CLOSED + hour * HOUR for hour in range(23)]


def test_a_request_that_was_noted_and_lost_is_made_with_the_next_hour(rolled: Rolled) -> None:
    class Ending(Published):
        def __call__(self, topic: str, payload: bytes) -> None:
            raise CrashError

    with pytest.raises(CrashError):
        roll(rolled, CLOSED, policy=YOUNG, publish=Ending())
    assert passes(rolled, CLOSED, CLOSED + 2 * HOUR, Published()) == [CLOSED + HOUR]


def test_a_crash_after_any_call_delays_a_request_by_an_hour_at_most_and_doubles_none() -> None:
    """For all n: killed right after call n took effect, be it of the table or of the broker."""
    crashes = 0
    while True:
        crashes += 1
        rolled, published = silent(), Published()
        client, calls = rolled.cloud.client, iter(range(1, crashes + 1))

        def crash(done: Any, calls: Any = calls, crashes: int = crashes) -> Any:
            if next(calls, None) == crashes:
                raise CrashError
            return done

        class Ending(Published):
            def __call__(
                self, topic: str, payload: bytes, published: Published = published, crash: Any = crash
            ) -> None:
                published(topic, payload)
                crash(None)

        def fault(operation: str, request: dict[str, Any], client: Any = client, crash: Any = crash) -> Any:
            return crash(getattr(client, operation)(**request))

        try:
            passes(rolled, CLOSED, CLOSED + PASS, Ending(), Faulty(client, fault))
        except CrashError:
            passes(rolled, CLOSED + PASS, CLOSED + HOUR + PASS, published)
        else:
            break
        assert len(published.sent) in (1, 2)
        asked = [each.at_ms for each in store(rolled.cloud).get("gw-1").gaps.epochs[minute(0).epoch].asked]
        assert asked[-1] >= CLOSED + PASS
    assert crashes > 8


def test_passes_that_come_early_and_late_still_ask_each_hour(rolled: Rolled) -> None:
    published = Published()
    for hour, late_ms in enumerate((280_000, 1_000, 150_000, 0, 290_000, 2_000)):
        roll(rolled, CLOSED + hour * HOUR + late_ms, policy=YOUNG, publish=published)
        assert len(published.sent) == hour + 1


# --- what it costs --------------------------------------------------------------------------------


class Counting:
    """Counts the calls for items of gaps."""

    def __init__(self, cloud: Cloud) -> None:
        self.calls: Counter[str] = Counter()
        self.client = Faulty(cloud.client, self)

    def __call__(self, operation: str, request: dict[str, Any]) -> None:
        if "H#gaps" in repr(request.get("Key", request.get("Item"))):
            self.calls[operation] += 1


def test_an_open_hole_costs_a_read_and_a_write_an_hour(rolled: Rolled) -> None:
    passes(rolled, CLOSED, CLOSED + HOUR, Published())
    counting = Counting(rolled.cloud)
    passes(rolled, CLOSED + HOUR, CLOSED + 11 * HOUR, Published(), counting.client)
    assert counting.calls == {"get_item": 10, "put_item": 10}


def test_without_a_hole_a_silent_gateway_costs_a_read_an_hour_and_none_when_all_would_be_too_old() -> None:
    rolled = in_memory()
    rolled.deliver([minute(0), minute(1)], NOON + 400_000)
    passes(rolled, CLOSED, CLOSED + HOUR, Published())
    counting = Counting(rolled.cloud)
    passes(rolled, CLOSED + HOUR, CLOSED + 11 * HOUR, Published(), counting.client)
    assert counting.calls == {"get_item": 10}
    passes(rolled, NOON + 25 * HOUR, NOON + 48 * HOUR, Published(), counting.client)
    assert counting.calls == {"get_item": 10}


def test_holes_that_are_given_up_cost_nothing(rolled: Rolled) -> None:
    published = Published()
    passes(rolled, CLOSED, NOON + 25 * HOUR, published)
    counting, sent = Counting(rolled.cloud), len(published.sent)
    passes(rolled, NOON + 25 * HOUR, NOON + 48 * HOUR, published, counting.client)
    assert (counting.calls, len(published.sent)) == ({}, sent)


def test_where_nothing_is_asked_for_a_silent_gateway_costs_nothing(rolled: Rolled) -> None:
    counting = Counting(rolled.cloud)
    for hour in range(1, 5):
        roll(rolled, CLOSED + hour * HOUR, counting.client, policy=YOUNG)
    assert counting.calls == {"get_item": 1, "put_item": 1}, "when its hour was found closed"


def test_silent_gateways_leave_half_of_the_requests_to_those_that_can_answer() -> None:
    rolled, published = in_memory(), Published()
    names = [f"gw-{number}" for number in range(6)]
    for name in names:
        rolled.deliver([minute(0, name), minute(5, name)], NOON + 400_000)
    roll(rolled, CLOSED)
    rolled.deliver([minute(60, "gw-5")], NOON + HOUR + 60_000)
    roll(rolled, CLOSED + HOUR, policy=YOUNG, publish=published, most=4)
    assert [topic.split("/")[2] for topic, _ in published.sent] == ["gw-0", "gw-1", "gw-5", "gw-5"]
    assert not store(rolled.cloud).get("gw-4").gaps.epochs[minute(0).epoch].asked, "never asked, not noted"


def test_a_gateway_whose_state_cannot_be_read_is_asked_all_the_same(rolled: Rolled) -> None:
    roll(rolled, CLOSED)
    table = rolled.cloud.settings.latest_table
    (item,) = rolled.cloud.items("latest")
    rolled.cloud.client.put_item(TableName=table, Item={**item, "b": {"B": b"\x63newer"}})
    assert passes(rolled, CLOSED + HOUR, CLOSED + HOUR + PASS, Published()) == [CLOSED + HOUR]


def test_an_hour_without_batches_writes_nothing_when_nothing_is_due(rolled: Rolled) -> None:
    roll(rolled, CLOSED, policy=YOUNG, publish=Published())
    before = rolled.cloud.items("readings")
    observer = watch(rolled.cloud, CLOSED + PASS, policy=YOUNG, publish=Published())
    observer("gw-1", [], NOON, NOON + HOUR, NOON)
    assert rolled.cloud.items("readings") == before
