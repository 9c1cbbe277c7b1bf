"""The latest item under any order, fault and replay: the same state, each change told once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud import enrich, keys, latest
from cloud.enrich import Progress
from cloud.link_change import Change, pack_all, unpack_all
from cloud.link_state import Machine, State
from cloud.registry import Entry
from edge_agent.contract import Batch, ContractError, Reading, row
from tests.cloud.conftest import Faulty
from tests.cloud.latest_made import BAD, GOOD, KEEP_MS, arrival, minute, sent, throttled
from tests.cloud.records import EPOCH, NOW, denied, echo, interface

if TYPE_CHECKING:
    from tests.cloud.conftest import Cloud


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
_BACK = {"stamp": "received", "connect": "connected"}
OTHERS = st.builds(
    lambda kind, sent, back: Reading(
        "a.b", kind, NOW, row(kind, sent=sent, **{_BACK[kind]: min(back, sent)})
    ),
    st.sampled_from(["stamp", "connect"]),
    st.sampled_from([1, 5, 40, 300]),
    st.sampled_from([0, 0, 1, 4, 300]),
)
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


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
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

        def takes(_change: Change, faults: Iterator[bool] = faults) -> bool:
            return not next(faults, False)

        cloud.bus.takes = takes
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
