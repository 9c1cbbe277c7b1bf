"""The audit names what is wrong with the states of links, and only that; its reckoning is the cloud's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud import latest
from cloud.audit_link_machine import NEW, Link, after, joined, round_of
from cloud.audit_links import LinkStates
from cloud.audit_wire import StoredBatch, StoredReading
from cloud.keys import ChunkId
from cloud.latest import Condition, Latest
from cloud.latest_image import Image
from cloud.link_state import Machine, State
from edge_agent.contract import Outcome, Reading, not_measured, row
from tests.cloud.audit_made import Scene, made
from tests.cloud.records import NOW, denied, echo, interface

LINK = "a.b"


def connect(connected: int, refused: int = 0) -> Reading:
    values = row("connect", sent=1, connected=connected, refused=refused, timed_out=1 - connected - refused)
    return Reading(LINK, "connect", NOW, values)


def verdict(up: int | None) -> Reading:
    return Reading(LINK, "state", NOW, row("state", up=up, was_up=None, lasted_s=None, rounds=3))


READINGS = st.one_of(
    st.builds(echo, sent=st.sampled_from([0, 1, 5, 20, 200]), received=st.sampled_from([0, 1, 4, 5, 5, 5])),
    st.builds(connect, connected=st.sampled_from([0, 0, 1])),
    st.builds(interface, up=st.sampled_from([0, 1, 1])),
    st.builds(verdict, st.sampled_from([0, 1, None])),
    st.just(denied()),
    st.sampled_from([Outcome.NO_INTERFACE, Outcome.FAILED]).map(
        lambda outcome: not_measured(LINK, "interface", NOW, outcome)
    ),
)
BATCHES = st.lists(st.lists(READINGS, min_size=1, max_size=6), max_size=8)


def stored(reading: Reading, at_ms: int = NOW) -> StoredReading:
    content = (int(reading.flags), int(reading.outcome), *reading.values)
    return StoredReading(LINK, reading.kind, at_ms, content)


def ways(link: Link, readings: Sequence[Reading]) -> frozenset[Link]:
    return after(link, tuple(each for reading in readings if (each := round_of(stored(reading)))))


def losses(machine: Machine) -> dict[str, tuple[int, int]]:
    return {kind: (each.loss, each.weight) for kind, each in machine.witnesses.items()}


@settings(max_examples=200)
@given(BATCHES)
def test_in_order_its_reckoning_is_that_of_the_cloud_loss_and_all(batches: list[list[Reading]]) -> None:
    machine, (link,) = Machine(), NEW
    for readings in batches:
        for reading in readings:
            machine.take_in(reading)
            (link,) = ways(link, [reading])
        assert (link.state, link.fell) == (machine.state, machine.interface_fell)
        assert {each.kind: (each.low, each.weight) for each in link.probes} == losses(machine)


@settings(max_examples=150)
@given(st.lists(st.tuples(st.lists(READINGS, min_size=1, max_size=4), st.booleans()), max_size=10))
def test_whatever_batches_are_passed_over_the_state_is_one_that_it_reckons_with(
    batches: list[tuple[list[Reading], bool]],
) -> None:
    machine, possible = Machine(), NEW
    for readings, is_taken in batches:
        for reading in readings if is_taken else ():
            machine.take_in(reading)
        possible = joined(possible.union(*(ways(each, readings) for each in possible)))
    assert machine.state in {each.state for each in possible}
    own = losses(machine)
    assert any(
        {each.kind for each in way.probes} == set(own)
        and all(each.low <= own[each.kind][0] <= each.high for each in way.probes)
        for way in possible
    )


def test_of_many_ways_those_that_differ_in_their_loss_alone_become_one() -> None:
    (start,) = ways(Link(), [echo()] * 40)
    ends = {ways(start, [echo(received=number)]) for number in (5, 4, 3, 2, 1)}
    found = {(way.state, way.probes[0].low, way.probes[0].high) for way in joined(frozenset().union(*ends))}
    assert found == {(State.UP, 0, 666), (State.DEGRADED, 1_000, 1_333)}


# --- one gateway ----------------------------------------------------------------------------------

GOOD, BAD = [echo()] * 6, [echo(received=0)] * 6
LOSSY = [echo(received=4)] * 6


def batches_of(*rounds: Sequence[Reading]) -> list[StoredBatch]:
    """Batches of a minute each, a reading every 10 s."""
    return [
        StoredBatch(
            "gw",
            7,
            number * 6,
            tuple(stored(each, NOW + number * 60_000 + at * 10_000) for at, each in enumerate(readings)),
        )
        for number, readings in enumerate(rounds)
    ]


def checked(
    batches: list[StoredBatch], state: State, since_ms: int, newest: int = -1
) -> tuple[int, int, list[str]]:
    """How many links are not judged, how many are one of several, and what is said."""
    batch = batches[newest]
    last_ms = max(each.at_ms for each in batch.readings)
    version = ChunkId(last_ms, batch.epoch, batch.first_sequence)
    known = Latest("gw", version, last_ms, 0, False, "", (), conditions={LINK: Condition(state, since_ms)})
    links = LinkStates({"gw": known})
    links.compare("gw", batches[::-1])
    return links.check.open, links.check.undetermined, [each.detail for each in links.check.differences]


def second(number: int) -> int:
    """The whole second of a reading."""
    return (NOW + number * 10_000) // 1000 * 1000


def test_the_state_and_beginning_of_all_batches_in_order_are_right() -> None:
    assert checked(batches_of(GOOD, LOSSY, GOOD), State.DEGRADED, second(6)) == (0, 0, [])
    assert checked(batches_of(GOOD, GOOD), State.UP, second(1)) == (0, 0, [])
    assert checked(batches_of(GOOD, BAD), State.DOWN, second(8)) == (0, 0, [])


@pytest.mark.parametrize("state", [State.DEGRADED, State.DOWN])
def test_a_state_that_no_order_of_arrival_gives_is_named(state: State) -> None:
    _, undetermined, said = checked(batches_of(GOOD, GOOD, GOOD), state, second(1))
    assert (undetermined, said) == (0, [f"state: recomputed up, stored {state.name.lower()}"])


def test_a_state_that_another_order_gives_is_one_of_several() -> None:
    batches = batches_of(GOOD, LOSSY, GOOD)
    assert checked(batches, State.UP, second(1)) == (0, 1, [])


def test_a_state_of_what_came_after_an_outage_is_judged() -> None:
    assert checked(batches_of(LOSSY, LOSSY, GOOD, GOOD), State.UP, second(13)) == (0, 0, [])


def test_a_state_that_began_when_nothing_was_measured_is_named() -> None:
    _, _, said = checked(batches_of(GOOD, GOOD), State.UP, second(1) + 5_000)
    assert said == [f"its state began at {second(1) + 5_000}, when nothing was measured"]


def test_what_comes_after_the_newest_batch_of_the_state_does_not_count() -> None:
    assert checked(batches_of(GOOD, GOOD, BAD), State.UP, second(1), newest=1) == (0, 0, [])


def test_a_gateway_whose_clock_was_set_back_is_not_judged() -> None:
    one, other = batches_of(GOOD, GOOD)
    early = tuple(replace(each, at_ms=each.at_ms - 600_000) for each in other.readings)
    assert checked([one, replace(other, readings=early)], State.DOWN, second(1))[0] == 1


# --- the tables -----------------------------------------------------------------------------------


@pytest.fixture
def scene() -> Scene:
    return made()


def shown(scene: Scene, change: Callable[[Image], None]) -> None:
    """Change what a latest item says."""
    gateway = min(scene.latest)
    item = scene.latest[gateway]
    image = latest.image(item)
    change(image)
    scene.latest[gateway] = latest.pack(gateway, item["ver"]["S"], image, b"")


def test_every_link_of_the_tables_was_compared_and_most_are_judged(scene: Scene) -> None:
    (check,) = [each for each in scene.report().checks if each.what == "link states"]
    assert (check.compared, check.open, check.differences) == (60, 0, [])
    assert check.undetermined < 20


def test_a_wrong_state_in_the_table_is_named(scene: Scene) -> None:
    def fall(image: Image) -> None:
        image.states = [State.DOWN for _ in image.states]

    shown(scene, fall)
    assert {what for what, _ in scene.named()} == {"link states"}
    assert any("stored down" in said for _, said in scene.named())


def test_a_wrong_beginning_in_the_table_is_named(scene: Scene) -> None:
    def earlier(image: Image) -> None:
        image.since = [each - 100_000 for each in image.since]

    shown(scene, earlier)
    assert {what for what, _ in scene.named()} == {"link states"}
    assert all("when nothing was measured" in said for _, said in scene.named())


def test_a_state_that_was_never_told_is_named(scene: Scene) -> None:
    def forget(image: Image) -> None:
        image.states = [State.UNKNOWN for _ in image.states]

    shown(scene, forget)
    assert any("stored unknown" in said for _, said in scene.named())
