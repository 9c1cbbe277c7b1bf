"""States of links in the latest item: each change told once, whatever is sent twice, late or broken off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cloud import latest
from cloud.link_change import MAX_WAITING, Change
from cloud.link_state import State
from tests.cloud.conftest import Faulty
from tests.cloud.latest_made import AGAIN, BAD, DOWN, GOOD, MINUTE_MS, UP, minute, sent, state, told
from tests.cloud.records import EPOCH, NOW, envelope, interface, records

if TYPE_CHECKING:
    from tests.cloud.conftest import Cloud


def test_a_change_is_told_once_with_the_reading_that_made_it(cloud: Cloud) -> None:
    for each in (UP, DOWN, AGAIN):
        assert cloud.ingest(sent(each)) == []
    assert told(cloud) == [("UP", "DOWN"), ("DOWN", "UP")]
    assert cloud.bus.told[0] == Change(
        "gw-1", "a.b", State.UP, State.DOWN, NOW + MINUTE_MS + 2_000, EPOCH, 102
    )
    assert cloud.bus.told[0].id == f"gw-1.{EPOCH:016x}.102"
    assert state(cloud).conditions["a.b"] == latest.Condition(State.UP, NOW + 2 * MINUTE_MS + 1_000)
    assert state(cloud).changes == ()
    assert cloud.counts["Changes"] == 1


def test_to_become_known_as_up_is_no_change_but_as_down_is(cloud: Cloud) -> None:
    cloud.ingest(sent(UP, minute(0, BAD, BAD, BAD, gateway="gw-2")))
    assert told(cloud) == [("UNKNOWN", "DOWN")]


def test_replays_tell_nothing_again(cloud: Cloud) -> None:
    event = sent(UP, DOWN)
    for _ in range(3):
        assert cloud.ingest(event) == []
    assert cloud.ingest(sent(DOWN, AGAIN, first=101)) == []
    assert cloud.ingest(event) == []
    assert told(cloud) == [("UP", "DOWN"), ("DOWN", "UP")]


def test_a_second_delivery_that_was_received_later_counts_no_round_twice(cloud: Cloud) -> None:
    """MQTT delivers at least once, each time with its own reception time; a clock ahead is clamped to it."""
    ahead = minute(500, BAD, BAD)
    cloud.ingest(sent(UP))
    for delivery in range(3):
        cloud.ingest(records(envelope(ahead, rx=NOW + MINUTE_MS + delivery)), now_ms=NOW + MINUTE_MS)
    assert told(cloud) == []
    cloud.ingest(records(envelope(minute(501, BAD), rx=NOW + 2 * MINUTE_MS)), now_ms=NOW + 2 * MINUTE_MS)
    assert told(cloud) == [("UP", "DOWN")]


def test_the_verdict_of_an_agent_is_told_at_once(cloud: Cloud) -> None:
    from tests.cloud.test_link_state import verdict

    cloud.ingest(sent(UP, minute(1, verdict(0))))
    assert told(cloud) == [("UP", "DOWN")]


@pytest.mark.parametrize("operation", ["put_item", "tell", "update_item"])
def test_a_change_outlives_an_end_between_any_two_calls(cloud: Cloud, operation: str) -> None:
    class EndedError(BaseException):
        """The function is ended here."""

    def fault(called: str, request: dict[str, Any]) -> Any:
        if called == operation and "gateway" in repr(request.get("Item", request.get("Key"))):
            raise EndedError

    def ended(_change: Change) -> bool:
        raise EndedError

    cloud.ingest(sent(UP))
    if operation == "tell":
        cloud.bus.takes = ended
    with pytest.raises(EndedError):
        cloud.ingest(sent(DOWN), client=Faulty(cloud.client, fault))
    cloud.bus.takes = lambda _change: True
    assert cloud.ingest(sent(DOWN)) == []
    # Once, but when it ended after the bus was told and before the mark was removed: then with the same id.
    assert {each.id for each in cloud.bus.told} == {f"gw-1.{EPOCH:016x}.102"}
    assert len(cloud.bus.told) == (2 if operation == "update_item" else 1)
    assert cloud.ingest(sent(DOWN)) == []
    assert state(cloud).changes == ()


def test_a_bus_that_does_not_answer_stops_no_readings_and_is_told_with_the_next_batch(cloud: Cloud) -> None:
    cloud.bus.takes = lambda _change: False
    assert cloud.ingest(sent(UP, DOWN)) == []
    assert (len(state(cloud).changes), cloud.counts["ChangesWaiting"]) == (1, 1)
    cloud.bus.takes = lambda change: change.after is State.DOWN
    assert cloud.ingest(sent(AGAIN)) == []
    assert told(cloud) == [("UP", "DOWN")]
    assert [each.after for each in state(cloud).changes] == [State.UP]
    cloud.bus.takes = lambda _change: True
    assert cloud.ingest(sent(minute(3, GOOD))) == []
    assert told(cloud) == [("UP", "DOWN"), ("DOWN", "UP")]


def test_a_stale_read_neither_loses_a_batch_nor_tells_of_a_change_again(cloud: Cloud) -> None:
    """BatchGetItem is eventually consistent unless asked otherwise (DynamoDB API reference)."""
    cloud.bus.takes = lambda _change: False
    cloud.ingest(sent(UP, DOWN))
    stale = cloud.items("latest")
    cloud.bus.takes = lambda _change: True
    cloud.ingest(sent(DOWN))
    assert len(cloud.bus.told) == 1

    def fault(operation: str, request: dict[str, Any]) -> Any:
        asked = request.get("RequestItems", {}).get(cloud.settings.latest_table)
        if operation == "batch_get_item" and asked and not asked["ConsistentRead"]:
            return {"Responses": {cloud.settings.latest_table: stale}, "UnprocessedKeys": {}}
        return None

    for event in (sent(DOWN), sent(AGAIN)):
        assert cloud.ingest(event, client=Faulty(cloud.client, fault)) == []
    assert told(cloud) == [("UP", "DOWN"), ("DOWN", "UP")]


def test_two_functions_at_once_lose_no_batch(cloud: Cloud) -> None:
    raced = iter([True])

    def fault(operation: str, request: dict[str, Any]) -> Any:
        if operation == "put_item" and "gateway" in request["Item"] and next(raced, False):
            cloud.ingest(sent(UP))  # another one was faster

    assert cloud.ingest(sent(DOWN), client=Faulty(cloud.client, fault)) == []
    assert told(cloud) == [("UP", "DOWN")]


def test_unprocessed_keys_are_asked_for_again(cloud: Cloud) -> None:
    left = iter([True, True])

    def fault(operation: str, request: dict[str, Any]) -> Any:
        asked = request.get("RequestItems", {}).get(cloud.settings.latest_table)
        if operation == "batch_get_item" and asked and next(left, False):
            return {"Responses": {}, "UnprocessedKeys": {cloud.settings.latest_table: asked}}
        return None

    assert cloud.ingest(sent(UP), client=Faulty(cloud.client, fault)) == []
    assert state(cloud).conditions["a.b"].state is State.UP


def test_changes_that_nobody_takes_are_bounded_and_counted(cloud: Cloud) -> None:
    cloud.bus.takes = lambda _change: False
    swings = [interface(up=number % 3) for number in range(2 * MAX_WAITING)]
    cloud.ingest(sent(minute(0, *swings)))
    assert len(state(cloud).changes) == MAX_WAITING
    assert cloud.counts["ChangesDropped"] > 0
    assert state(cloud).changes[-1].sequence == 2 * MAX_WAITING - 2
