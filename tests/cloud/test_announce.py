"""Changes of link states on EventBridge: what an event says, ten to a call, and what was not taken."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, NoRegionError

from cloud.announce import EventBus
from cloud.latest import Latest
from cloud.link_change import Change
from cloud.link_state import State
from cloud.registry_metadata import LinkMetadata, Metadata
from edge_agent.contract import Link
from tests.cloud.latest_made import entry, state_of
from tests.cloud.records import EPOCH, NOW, batch


def change(number: int = 0) -> Change:
    return Change("gw-1", "a.b", State.UP, State.DOWN, NOW, EPOCH, number)


def known() -> dict[str, Latest]:
    said = Metadata("hill", "north", -33.918861, 18.4233, {"a.b": LinkMetadata("radio", 54_000)})
    return {"gw-1": state_of(batch(), known=entry({"a.b": Link("a.b", peer="far")}, metadata=said))}


class Events:
    """An EventBridge that keeps what it takes; ``refuses`` says which entries of a call it does not."""

    def __init__(self, refuses: Any = lambda _index: False) -> None:
        self.calls: list[list[dict[str, Any]]] = []
        self._refuses = refuses

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        self.calls.append(Entries)
        answers = [
            {"ErrorCode": "InternalFailure", "ErrorMessage": "no"}
            if self._refuses(index)
            else {"EventId": "1"}
            for index in range(len(Entries))
        ]
        return {"FailedEntryCount": sum("ErrorCode" in each for each in answers), "Entries": answers}


def bus(client: Any, said: list[Any] | None = None) -> EventBus:
    return EventBus("test", lambda: client, (said if said is not None else []).append)


def test_an_event_says_which_link_where_and_what_changed() -> None:
    events = Events()
    assert bus(events).tell([change(7)], known(), lambda: True) == {f"gw-1.{EPOCH:016x}.7"}
    ((entry,),) = events.calls
    assert (entry["Source"], entry["DetailType"]) == ("linkpulse", "Link state changed")
    assert json.loads(entry["Detail"]) == {
        "id": f"gw-1.{EPOCH:016x}.7",
        "stage": "test",
        "gateway": "gw-1",
        "link": "a.b",
        "peer": "far",
        "medium": "radio",
        "capacity_kbps": 54_000,
        "site": "hill",
        "region": "north",
        "latitude": -33.918861,
        "longitude": 18.4233,
        "before": "up",
        "after": "down",
        "at_ms": NOW,
        "at": "2026-11-21 22:26:40 UTC",
    }


def test_the_same_change_is_the_same_event_each_time() -> None:
    events = Events()
    for _ in range(2):
        bus(events).tell([change(7)], known(), lambda: True)
    assert events.calls[0] == events.calls[1]


def test_a_call_has_ten_entries_at_most() -> None:
    """PutEvents: "Array Members: Minimum number of 1 item. Maximum number of 10 items." (API reference)."""
    events = Events()
    assert len(bus(events).tell([change(number) for number in range(23)], {}, lambda: True)) == 23
    assert [len(entries) for entries in events.calls] == [10, 10, 3]


def test_an_entry_that_was_not_taken_is_not_told_of() -> None:
    """ "An individual entry within a request" may fail while the others are taken (user guide, PutEvents)."""
    said: list[Any] = []
    told = bus(Events(lambda index: index == 1), said).tell(
        [change(1), change(2), change(3)], {}, lambda: True
    )
    assert told == {change(1).id, change(3).id}
    assert said == [{"level": "WARNING", "event": "changes wait", "count": 1, "reason": "InternalFailure"}]


def test_a_bus_that_fails_is_a_warning_and_no_error() -> None:
    class Broken:
        def put_events(self, **_request: Any) -> Any:
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "PutEvents")

    said: list[Any] = []
    assert bus(Broken(), said).tell([change()], {}, lambda: True) == set()
    assert said[0]["reason"] == "PutEvents: AccessDeniedException"


def test_a_bus_of_which_no_client_can_be_made_is_a_warning_too() -> None:
    def make() -> Any:
        raise NoRegionError

    said: list[Any] = []
    assert EventBus("test", make, said.append).tell([change()], {}, lambda: True) == set()
    assert said[0]["count"] == 1


def test_no_call_begins_when_no_time_is_left() -> None:
    events = Events()
    assert bus(events).tell([change()], {}, lambda: False) == set()
    assert events.calls == []


@pytest.mark.usefixtures("aws")
def test_eventbridge_takes_the_entries() -> None:
    assert len(EventBus("test").tell([change(1), change(2)], known(), lambda: True)) == 2
