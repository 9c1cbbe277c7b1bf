"""The audit names what is wrong with latest states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from edge_agent.contract import KINDS, Reading, decode
from infrastructure.local.faults import Fault
from tests.benchmarks.exactness_fleet import delivery
from tests.benchmarks.exactness_world import World
from tests.cloud.audit_made import Item, Scene, made


@pytest.fixture
def scene() -> Scene:
    return made()


def first_state(scene: Scene) -> Item:
    return scene.latest[min(scene.latest)]


def take_in(scene: Scene, edit: Callable[[Reading], Reading]) -> None:
    """Put a state in place that knows another last reading than the table has."""
    item = first_state(scene)
    gateway, version = item["gateway"]["S"], item["ver"]["S"].partition("#")[2]
    place = next(place for place in scene.places(f"{gateway}#") if place[1].endswith(version))
    batch = decode(bytes(scene.readings[place]["b"]["B"]))
    last = max(at for at, each in enumerate(batch.readings) if each.kind == "echo")
    readings = (*batch.readings[:last], edit(batch.readings[last]), *batch.readings[last + 1 :])
    world = World(0, scene.run.now_ms, dict.fromkeys(Fault, 0.0))
    world.send([delivery(replace(batch, readings=readings), scene.run.now_ms)])
    world.run_until(scene.run.now_ms + 10_000)
    scene.latest[gateway] = next(world.tables.tables["latest"].items())


def said_of_states(scene: Scene) -> list[str]:
    """What is said of latest states; the graph, made of other ones, differs as well."""
    return [said for what, said in scene.named() if what == "latest states"]


def with_values(reading: Reading, **changes: int) -> Reading:
    names = [each.name for each in KINDS[reading.kind].columns]
    values = list(reading.values)
    for name, value in changes.items():
        values[names.index(name)] = value
    return replace(reading, values=tuple(values))


def test_a_state_as_the_batch_makes_it_is_right(scene: Scene) -> None:
    take_in(scene, lambda reading: reading)
    assert said_of_states(scene) == []


def test_a_wrong_value_of_a_latest_state_is_named(scene: Scene) -> None:
    take_in(scene, lambda reading: with_values(reading, reply_ttl=1))
    (said,) = said_of_states(scene)
    assert "echo content: recomputed" in said


def test_wrong_round_trips_of_a_latest_state_are_named(scene: Scene) -> None:
    take_in(scene, lambda reading: with_values(reading, sent=90, received=1))
    said = said_of_states(scene)
    assert [each.split()[2] for each in said] == ["content:", "sent:", "lost:"]


def test_a_state_of_an_older_batch_is_named(scene: Scene) -> None:
    gateway = min(scene.latest)
    chunks = scene.places(f"{gateway}#")
    _, epoch, sequence = chunks[-2][1].split("#")
    item = first_state(scene)
    last_ms = int(item["ver"]["S"].split("#")[0]) - 60_000
    item["ver"] = {"S": f"{last_ms:013d}#{epoch}#{sequence}"}
    assert any("its newest batch is" in said for _, said in scene.named())
    assert scene.report().may_heal


def test_a_state_of_a_batch_that_is_not_stored_is_named(scene: Scene) -> None:
    version = first_state(scene)["ver"]["S"]
    first_state(scene)["ver"] = {"S": version[:-1] + ("1" if version[-1] != "1" else "2")}
    assert ["is of a batch that is not stored" in said for _, said in scene.named()] == [True]


def test_a_missing_and_an_unreadable_state_are_named(scene: Scene) -> None:
    one, other = sorted(scene.latest)[:2]
    del scene.latest[one]
    scene.latest[other]["b"] = {"B": b"\x09"}
    said = [each for _, each in scene.named()]
    assert "has no latest state" in said
    assert any("cannot be read" in each for each in said)
