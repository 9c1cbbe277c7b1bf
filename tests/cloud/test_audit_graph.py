"""The audit names what is wrong with the graph snapshot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from cloud import keys, snapshot
from cloud.audit_graph import StoredGraph
from cloud.audit_wire import StoredBatch, StoredReading
from cloud.keys import ChunkId
from cloud.latest import Latest, Neighbour, Series
from cloud.snapshot import Edge, Head
from edge_agent.contract import Reading
from tests.cloud.audit_made import Scene, made
from tests.cloud.records import NOW, echo, interface

Edges = list[Edge]
PASS_MS = NOW + 3_600_000
"""A pass an hour after the readings."""


@pytest.fixture
def scene() -> Scene:
    return made()


def head_of(scene: Scene) -> tuple[Head, list[tuple[str, str]]]:
    """The graph's head, and the places of its parts."""
    (partition, sort) = next(place for place in scene.places("G#") if place[1] == keys.SNAPSHOT_HEAD)
    head = snapshot.parse_head(scene.readings[partition, sort], 0)
    return head, [(partition, each) for each in snapshot.sorts(head)]


def change(scene: Scene, edit: Callable[[Edges], Edges]) -> list[str]:
    """Change the links of the graph; what the audit says."""
    head, (place,) = head_of(scene)
    edges = snapshot.parse(scene.readings[place], head)
    (scene.readings[place],) = snapshot.pack(edit(edges), 0, head.at_ms, 0)
    named = scene.named()
    assert {what for what, _ in named} <= {"graph links"}
    return [said for _, said in named]


def first(edit: Callable[[Edge], Edge]) -> Callable[[Edges], Edges]:
    """An edit of the first link."""
    return lambda edges: [edit(edges[0]), *edges[1:]]


def test_the_graph_as_it_was_built_is_right_and_all_of_it_was_compared(scene: Scene) -> None:
    assert change(scene, lambda edges: edges) == []
    (check,) = [each for each in scene.report().checks if each.what == "graph links"]
    assert (check.compared, check.open) == (60, 0)


def test_a_link_that_is_not_in_it_is_named(scene: Scene) -> None:
    assert change(scene, lambda edges: edges[1:]) == ["is not in it"]


def test_a_gateway_that_is_not_in_it_is_named_link_by_link(scene: Scene) -> None:
    said = change(scene, lambda edges: [each for each in edges if each.gateway != edges[0].gateway])
    assert said == ["is not in it"] * 10


def test_a_link_that_is_in_it_twice_is_named(scene: Scene) -> None:
    assert change(scene, lambda edges: [edges[0], *edges]) == ["is in it 2 times"]


def test_an_invented_link_is_named(scene: Scene) -> None:
    said = change(scene, lambda edges: [*edges, replace(edges[-1], link="other")])
    assert any("is not one that is stored" in each for each in said)


def test_a_wrong_time_is_named(scene: Scene) -> None:
    said = change(scene, first(lambda edge: replace(edge, at_ms=edge.at_ms + 1)))
    assert any("is not one that is stored" in each for each in said)


@pytest.mark.parametrize(
    "edit",
    [
        lambda edge: replace(edge, sent=edge.sent + 1),
        lambda edge: replace(edge, lost=edge.lost + 1),
        lambda edge: replace(edge, p50_us=(edge.p50_us or 0) + 1),
    ],
    ids=["sent", "lost", "p50_us"],
)
def test_a_wrong_figure_is_named_with_both_values(scene: Scene, edit: Callable[[Edge], Edge]) -> None:
    said = change(scene, first(edit))
    assert said[0].startswith("sent, lost, p50: recomputed (")


@pytest.mark.parametrize(
    "edit",
    [lambda edge: replace(edge, peer="nobody"), lambda edge: replace(edge, medium="nobody")],
    ids=["peer", "medium"],
)
def test_another_neighbour_than_that_of_the_latest_state_is_named(
    scene: Scene, edit: Callable[[Edge], Edge]
) -> None:
    assert change(scene, first(edit))[0].startswith("peer and medium: latest state (")


def test_a_missing_part_and_a_damaged_one_are_named_and_may_heal(scene: Scene) -> None:
    _, (place,) = head_of(scene)
    scene.readings[place]["r"] = {"B": b"\x09damaged"}
    assert any("not a graph of this version" in said for _, said in scene.named())
    del scene.readings[place]
    assert any(said == "is missing" for _, said in scene.named())
    assert scene.report().may_heal


def test_a_part_of_another_building_is_named(scene: Scene) -> None:
    head, (place,) = head_of(scene)
    scene.readings[place]["at"] = {"N": str(head.at_ms + 600_000)}
    assert any(said == "a newer graph is being written" for _, said in scene.named())


def test_an_unreadable_head_is_named(scene: Scene) -> None:
    _, ((partition, _),) = head_of(scene)
    del scene.readings[partition, keys.SNAPSHOT_HEAD]["parts"]
    assert any("it cannot be read" in said for _, said in scene.named())


# --- one gateway ----------------------------------------------------------------------------------


def stored(reading: Reading) -> StoredReading:
    content = (int(reading.flags), int(reading.outcome), *reading.values)
    return StoredReading(reading.link, reading.kind, reading.at_ms, content)


def said_of(edges: Edges, *readings: Reading, rx_ms: int = PASS_MS + 1) -> tuple[list[str], int]:
    """What is said of the graph of a gateway with one batch, and how much is not due yet."""
    series = tuple(Series(each, 5, 0) for each in readings)
    state = Latest("gw", ChunkId(NOW, 7, 0), rx_ms, 0, False, "", series, {"a.b": Neighbour("x", "radio")})
    graph = StoredGraph({"gw": state})
    for item in (snapshot.pack_head(Head(0, 1, PASS_MS, (1,))), *snapshot.pack(edges, 0, PASS_MS, 0)):
        assert graph.take(item)
    graph.read()
    graph.compare("gw", [StoredBatch("gw", 7, 0, tuple(map(stored, readings)))])
    check = graph.finish(["gw", "lost"])
    return [each.detail for each in check.differences], check.open


def edge(reading: Reading) -> Edge:
    p50 = reading["rtt_p50_us"] if reading.kind == "echo" else None
    sent = 5 if reading.kind == "echo" else 0
    return Edge("gw", reading.link, "x", "radio", reading.kind, reading.at_ms, sent, 0, p50)


def test_a_link_of_the_batch_that_brought_another_one_must_be_in_it() -> None:
    one, other = echo(), echo("a.c")
    assert said_of([edge(one), edge(other)], one, other) == ([], 0)
    assert said_of([edge(one)], one, other) == (["is not in it"], 0)


def test_a_gateway_of_which_nothing_was_there_before_the_pass_is_not_due() -> None:
    assert said_of([], echo()) == ([], 1)
    assert said_of([], echo(), rx_ms=PASS_MS) == (["is not in it"], 0)


def test_a_kind_that_speaks_though_a_better_one_is_there_is_named() -> None:
    better, worse = echo(), interface()
    assert said_of([edge(worse)], better, worse) == (["interface speaks for it, though there is echo"], 0)
    assert said_of([edge(better)], better, worse) == ([], 0)


def test_a_gateway_of_which_nothing_is_stored_is_named() -> None:
    reading = echo()
    said, _ = said_of([edge(reading), replace(edge(reading), gateway="lost")], reading)
    assert said == ["is in it, and nothing of it is stored"]


def test_a_reading_of_a_clock_that_ran_ahead_stands_at_its_reception() -> None:
    ahead = replace(echo(), at_ms=NOW + 600_000)
    assert said_of([replace(edge(ahead), at_ms=NOW)], ahead) == ([], 0)
    assert said_of([replace(edge(ahead), at_ms=NOW, p50_us=1)], ahead)[0] != []
