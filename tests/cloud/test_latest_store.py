"""States of links in the latest item: each change told once, whatever is sent twice, late or broken off."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud import enrich, keys, latest
from cloud.enrich import Progress
from cloud.link_change import MAX_WAITING, Change, pack_all, unpack_all
from cloud.link_state import Machine, State
from cloud.registry import Entry
from edge_agent.contract import Batch, ContractError, Reading, row
from tests.cloud.conftest import Faulty
from tests.cloud.records import EPOCH, NOW, batch, denied, echo, envelope, interface, records
from tests.cloud.test_latest import KEEP_MS, arrival

if TYPE_CHECKING:
    from tests.cloud.conftest import Cloud

MINUTE_MS = 60_000


def minute(number: int, *rounds: Reading, gateway: str = "gw-1") -> Batch:
    """A batch of a minute; its rounds get that minute's times."""
    start = NOW + number * MINUTE_MS
    timed = [
        Reading(each.link, each.kind, start + index * 1_000, each.values, each.flags, each.outcome)
        for index, each in enumerate(rounds)
    ]
    return batch(gateway, timed, sequence=number * 100)


def sent(*batches: Batch, first: int = 100) -> list[Any]:
    """Records of batches, each received a second after its last reading."""
    return records(*(envelope(each, rx=each.last_ms + 1_000) for each in batches), first=first)


GOOD, BAD = echo(), echo(received=0)
UP, DOWN, AGAIN = minute(0, GOOD, GOOD, GOOD), minute(1, BAD, BAD, BAD), minute(2, GOOD, GOOD)


def throttled(operation: str) -> ClientError:
    return ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow down"}}, operation)


def told(cloud: Cloud) -> list[tuple[str, str]]:
    return [(each.before.name, each.after.name) for each in cloud.bus.told]


def state(cloud: Cloud) -> latest.Latest:
    (item,) = cloud.items("latest")
    return latest.parse(item)


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


# --- properties -----------------------------------------------------------------------------------

GATEWAYS = itertools.count()
ROUNDS = st.lists(
    st.sampled_from([GOOD, GOOD, BAD, echo(received=4), denied(), interface(), interface(up=0)]),
    min_size=1,
    max_size=6,
)


LATE, FLYING = (
    replace(GOOD, values=(5, 4, 2, *GOOD.values[3:])),
    replace(GOOD, values=(5, 3, 0, 0, 0, 2, *GOOD.values[6:])),
)
OTHERS = st.builds(
    lambda kind, sent, back: Reading(
        "a.b", kind, NOW, row(kind, sent=sent, **{_BACK[kind]: min(back, sent)})
    ),
    st.sampled_from(["stamp", "connect"]),
    st.sampled_from([1, 5, 40, 300]),
    st.sampled_from([0, 0, 1, 4, 300]),
)
_BACK = {"stamp": "received", "connect": "connected"}
MIXED = st.lists(
    st.one_of(ROUNDS.map(lambda rounds: rounds[0]), st.sampled_from([LATE, FLYING]), OTHERS),
    min_size=1,
    max_size=8,
)
"""Rounds of all probes that know of a link, in any order."""


def folded(batches: list[Batch]) -> tuple[Any, list[Change]]:
    """The state and the changes of batches in order, by the machine itself and without any short cut."""
    machines: dict[str, Machine] = {}
    changes = []
    for each in batches:
        for sequence, reading in enumerate(each.readings, each.first_sequence):
            machine = machines.setdefault(reading.link, Machine())
            before, after = machine.state, machine.take_in(reading)
            if after and (before is not State.UNKNOWN or after is not State.UP):
                changes.append(Change("gw-1", reading.link, before, after, reading.at_ms, EPOCH, sequence))
    return {link: machine.state for link, machine in machines.items()}, changes


@settings(max_examples=200)
@given(st.lists(ROUNDS, min_size=1, max_size=8) | st.lists(MIXED, min_size=1, max_size=8), st.data())
def test_batches_make_the_same_state_and_changes_however_they_arrive(rounds: list[Any], data: Any) -> None:
    """Any cut into invocations, with duplicates and with batches that come again after newer ones."""
    other = [replace(each, link="other") for each in data.draw(MIXED, "of another link")]
    batches = [minute(number, *each, *other) for number, each in enumerate(rounds)]
    expected = folded(batches)
    progress, done, changes = Progress(), 0, []
    while done < len(batches):
        fresh = data.draw(st.integers(1, len(batches) - done), "new batches")
        old = data.draw(st.lists(st.integers(0, done + fresh - 1), max_size=4), "sent again")
        together = [*batches[done : done + fresh], *(batches[index] for index in old)]
        arrivals = [arrival(each, rx_ms=each.last_ms) for each in data.draw(st.permutations(together))]
        done += fresh
        enrich.advance(progress, arrivals, Entry(), KEEP_MS)
        changes += progress.changes
        image = latest.image(latest.pack("gw-1", progress.version, progress.image, b""))
        progress = Progress(image, progress.version)
    found = dict(zip(progress.image.front.links, progress.image.states, strict=True))
    assert ({link: State(state & 3) for link, state in found.items()}, changes) == expected


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ROUNDS, min_size=2, max_size=5), st.data())
def test_under_faults_and_replays_each_change_is_told_and_the_last_state_stands(
    cloud: Cloud, rounds: list[Any], data: Any
) -> None:
    name = f"gw-{next(GATEWAYS)}"  # the tables outlive an example
    batches = [minute(number, *each, gateway=name) for number, each in enumerate(rounds)]
    for each in batches:
        faults = iter(data.draw(st.lists(st.booleans(), max_size=5)))

        def fault(operation: str, request: dict[str, Any], faults: Any = faults) -> Any:
            if next(faults, False):
                raise throttled(operation)

        cloud.bus.takes = lambda _change, faults=faults: not next(faults, False)
        for _ in range(data.draw(st.integers(1, 3))):
            cloud.ingest(sent(each), client=Faulty(cloud.client, fault))
    cloud.bus.takes = lambda _change: True
    cloud.ingest(sent(*batches))
    key = {"gateway": {"S": name}}
    found = latest.parse(cloud.client.get_item(TableName=cloud.settings.latest_table, Key=key)["Item"])
    expected_state, expected = folded(batches)
    known = found.conditions["a.b"].state if "a.b" in found.conditions else State.UNKNOWN
    assert known is expected_state["a.b"]
    assert found.changes == ()
    ours = [each for each in cloud.bus.told if each.gateway == name]
    assert {each.id for each in ours} == {
        keys.change_id(name, each.epoch, each.sequence) for each in expected
    }


@given(st.binary(max_size=60))
def test_bytes_that_are_no_changes_are_an_error_and_nothing_else(data: bytes) -> None:
    for noise in (data, b"\x01" + data):
        try:
            unpack_all("gw-1", noise)
        except ContractError:
            continue


def test_changes_come_back_as_they_were_packed() -> None:
    changes = tuple(
        Change("gw-1", f"a.{number}", State.UP, State.DOWN, NOW + number, EPOCH, number)
        for number in range(3)
    )
    assert unpack_all("gw-1", pack_all(changes)) == changes
    assert pack_all(()) == b""
