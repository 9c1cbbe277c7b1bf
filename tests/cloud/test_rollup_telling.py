"""Changes of links whose gateway has fallen silent: told by the rollup pass, whatever faults there are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from cloud import rollup
from cloud.announce import EventBus
from cloud.buckets import SETTLE_MS
from cloud.keys import HOUR_MS
from cloud.rollup_telling import FAILURES, MOST_IN_PASS, QUIET_MS
from tests.cloud.conftest import Bus, Cloud, Faulty, patience
from tests.cloud.latest_made import DOWN, UP
from tests.cloud.records import NOW, envelope, records
from tests.cloud.rollup_cloud import Rolled, in_memory
from tests.cloud.rollup_minutes import START, CrashError, check, crash_after, minutes
from tests.cloud.rollup_waiting import change, latest_item, leave, telling, waiting

LATER = START + HOUR_MS + SETTLE_MS


@pytest.fixture
def rolled() -> Rolled:
    """Two gateways that were last heard of hours ago, a change of each waiting."""
    return silent(2)


def silent(count: int) -> Rolled:
    made = in_memory()
    for number in range(count):
        made.deliver(minutes(f"gw-{number}", 0, 1), START + 60_000)
        leave(made.cloud, f"gw-{number}", change(f"gw-{number}"))
    return made


def ids(cloud: Cloud) -> list[str]:
    return [each.id for each in cloud.bus.told]


def test_a_change_that_the_bus_refused_is_told_once_when_its_gateway_has_fallen_silent(cloud: Cloud) -> None:
    """From ingestion to the event, through DynamoDB as moto has it."""
    cloud.bus.takes = lambda _change: False
    for each in (UP, DOWN):
        assert cloud.ingest(records(envelope(each, rx=each.last_ms + 1_000))) == []
    heard_ms = DOWN.last_ms + 1_000
    (left,) = waiting(cloud)
    before = latest_item(cloud, "gw-1")
    cloud.bus.takes = lambda _change: True
    counted: list[int] = []
    for now_ms in (heard_ms + QUIET_MS - 1, heard_ms + QUIET_MS + 300_000, heard_ms + QUIET_MS + 600_000):
        assert ids(cloud) == ([left] if counted[1:] else [])
        parts = rollup.make(
            Rolled(cloud).settings, cloud.client, lambda: NOW, cloud.said.append, None, cloud.bus
        )
        parts.run(now_ms, patience())
        counted.append(cloud.counts["Changes"])
    assert (counted, ids(cloud), waiting(cloud)) == ([0, 1, 0], [left], [])
    before.pop("ev")
    assert latest_item(cloud, "gw-1") == before


def test_a_change_that_the_bus_takes_at_the_second_pass_is_counted_as_waiting_until_then(
    rolled: Rolled,
) -> None:
    rolled.cloud.bus.takes = lambda given: given.gateway == "gw-0"
    teller, found = telling(rolled.cloud), []
    for now_ms in (LATER, LATER + HOUR_MS):
        rolled.roll(now_ms, visitors=(teller,))
        found.append(teller.taken())
        rolled.cloud.bus.takes = lambda _change: True
    assert found == [{"Changes": 1, "ChangesWaiting": 1}, {"Changes": 1, "ChangesWaiting": 0}]
    assert [each.gateway for each in rolled.cloud.bus.told] == ["gw-0", "gw-1"]


def test_a_state_that_cannot_be_read_keeps_nobody_else_from_being_told_of(rolled: Rolled) -> None:
    broken = {**latest_item(rolled.cloud, "gw-0"), "b": {"B": b"\x63newer"}}
    rolled.cloud.client.put_item(TableName=rolled.cloud.settings.latest_table, Item=broken)
    assert rolled.roll(LATER, visitors=(telling(rolled.cloud),))["RollupUnreadable"] == 1
    assert ids(rolled.cloud) == [change("gw-1").id]


def test_a_damaged_change_stops_no_pass(rolled: Rolled) -> None:
    leave(rolled.cloud, "gw-0", replace(change("gw-0"), at_ms=1 << 60))
    taken: list[Any] = []
    bus = EventBus("test", lambda: Events(taken))
    assert rolled.roll(LATER, visitors=(telling(rolled.cloud, bus=bus),))["RollupGateways"] == 2
    assert [each["Resources"] for each in taken] == [["gw-1/a.b"]]


class Events:
    """An EventBridge that takes everything."""

    def __init__(self, taken: list[Any]) -> None:
        self._taken = taken

    def put_events(self, Entries: list[Any]) -> dict[str, Any]:
        self._taken += Entries
        return {"Entries": [{"EventId": "1"} for _ in Entries]}


# --- ends and meetings ----------------------------------------------------------------------------


class EndingBus(Bus):
    """Ends its caller once, before or after it has taken the changes."""

    def __init__(self, after: bool) -> None:
        super().__init__()
        self._after = after
        self._ends = iter([True])

    def tell(self, changes: Any, states: Any, remains: Any) -> set[str]:
        ends = next(self._ends, False)
        if ends and not self._after:
            raise CrashError
        taken = super().tell(changes, states, remains)
        if ends:
            raise CrashError
        return taken


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_on_either_side_of_the_telling_loses_no_change(rolled: Rolled, after: bool) -> None:
    bus = EndingBus(after)
    with pytest.raises(CrashError):
        rolled.roll(LATER, visitors=(telling(rolled.cloud, bus=bus),))
    rolled.roll(LATER, visitors=(telling(rolled.cloud, bus=bus),))
    told = [each.id for each in bus.told]
    assert sorted(told) == sorted([change("gw-0").id, change("gw-1").id] * (1 + after))
    assert waiting(rolled.cloud) == []


def test_a_crash_after_any_call_of_a_pass_loses_no_change_and_tells_none_more_than_twice() -> None:
    crashes = 0
    while True:
        crashes += 1
        rolled = silent(2)
        client = Faulty(rolled.cloud.client, crash_after(crashes)(rolled.cloud.client))
        try:
            rolled.roll(LATER, client, page=1, visitors=(telling(rolled.cloud, client),))
        except CrashError:
            rolled.roll(LATER, page=1, visitors=(telling(rolled.cloud),))
        else:
            break
        told = ids(rolled.cloud)
        assert set(told) == {change("gw-0").id, change("gw-1").id}
        assert len(told) <= 3
        assert waiting(rolled.cloud) == []
        check(rolled, minutes("gw-0", 0, 1) + minutes("gw-1", 0, 1), START + HOUR_MS)
    assert crashes > 15


def test_two_passes_at_once_remove_a_mark_once_and_tell_under_one_id(rolled: Rolled) -> None:
    """A second whole pass runs while the first one is about to tell."""
    other = iter([telling(rolled.cloud)])

    class Meeting(Bus):
        def tell(self, changes: Any, states: Any, remains: Any) -> set[str]:
            for each in other:
                rolled.roll(LATER, visitors=(each,))
            return super().tell(changes, states, remains)

    bus = Meeting()
    rolled.roll(LATER, visitors=(telling(rolled.cloud, bus=bus),))
    rolled.roll(LATER + HOUR_MS, visitors=(telling(rolled.cloud),))
    assert sorted(ids(rolled.cloud)) == sorted(each.id for each in bus.told)
    assert waiting(rolled.cloud) == []


def test_a_change_that_comes_while_others_are_told_keeps_its_mark(rolled: Rolled) -> None:
    def arrive(operation: str, request: dict[str, Any]) -> None:
        if operation == "update_item" and request["Key"]["gateway"]["S"] == "gw-0":
            leave(rolled.cloud, "gw-0", change("gw-0"), change("gw-0", 7))

    client = Faulty(rolled.cloud.client, arrive)
    rolled.roll(LATER, visitors=(telling(rolled.cloud, client),))
    assert waiting(rolled.cloud) == [change("gw-0").id, change("gw-0", 7).id]


# --- a bus that fails -----------------------------------------------------------------------------


class Unreachable:
    """An EventBridge that never answers."""

    def __init__(self) -> None:
        self.calls = 0

    def put_events(self, **_request: Any) -> Any:
        self.calls += 1
        raise EndpointConnectionError(endpoint_url="https://events")


def test_a_bus_that_does_not_answer_stops_no_rollup_and_is_soon_left_alone() -> None:
    rolled, healthy, client, said = silent(6), silent(6), Unreachable(), list[Any]()
    bus = EventBus("test", lambda: client, said.append)
    teller = telling(rolled.cloud, bus=bus)
    counted = rolled.roll(LATER, page=1, visitors=(teller,))
    healthy.roll(LATER, page=1)
    assert rolled.cloud.items("readings") == healthy.cloud.items("readings")
    assert (counted["RollupGateways"], counted["RollupUnfinished"]) == (6, 0)
    assert client.calls == FAILURES
    assert teller.taken() == {"Changes": 0, "ChangesWaiting": 6}
    assert len(waiting(rolled.cloud)) == 6
    rolled.roll(LATER + HOUR_MS, page=1, visitors=(teller,))
    assert client.calls == 2 * FAILURES


def test_a_pass_that_catches_up_tries_and_counts_each_change_once(rolled: Rolled) -> None:
    client = Unreachable()
    teller = telling(rolled.cloud, bus=EventBus("test", lambda: client))
    assert rolled.roll(LATER + 4 * HOUR_MS, visitors=(teller,))["RollupGateways"] == 10
    assert (client.calls, teller.taken()["ChangesWaiting"]) == (1, 2)


def test_a_mark_that_cannot_be_removed_stops_no_rollup_and_tells_again(rolled: Rolled) -> None:
    def refuse(operation: str, request: dict[str, Any]) -> None:
        if operation == "update_item":
            raise EndpointConnectionError(endpoint_url="https://dynamodb")

    client = Faulty(rolled.cloud.client, refuse)
    assert rolled.roll(LATER, client, visitors=(telling(rolled.cloud, client),))["RollupGateways"] == 2
    assert len(waiting(rolled.cloud)) == 2
    rolled.roll(LATER + HOUR_MS, visitors=(telling(rolled.cloud),))
    assert sorted(ids(rolled.cloud)) == sorted([change("gw-0").id, change("gw-1").id] * 2)


def test_after_an_outage_of_the_bus_a_pass_tells_of_so_many_and_the_next_ones_of_the_rest() -> None:
    rolled = silent(12)
    for number in range(12):
        leave(rolled.cloud, f"gw-{number}", *(change(f"gw-{number}", each) for each in range(100)))
    teller = telling(rolled.cloud)
    told = list(passes(rolled, teller))
    assert told == [MOST_IN_PASS, 1_200]
    assert len(set(ids(rolled.cloud))) == 1_200


def passes(rolled: Rolled, teller: Any) -> Iterator[int]:
    """How many changes are told after each of two passes."""
    for hour in range(2):
        rolled.roll(LATER + hour * HOUR_MS, visitors=(teller,))
        assert teller.taken()["ChangesWaiting"] == len(waiting(rolled.cloud))
        yield len(rolled.cloud.bus.told)
