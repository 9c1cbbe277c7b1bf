"""The audit names what is wrong with gaps and chunks; and all is right after many faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from cloud import gaps_item
from cloud.audit_check import without
from cloud.gap_ranges import Span
from tests.cloud.audit_made import Scene, made


@pytest.fixture
def scene() -> Scene:
    return made()


def test_all_is_exact_after_duplicates_lateness_transient_faults_and_crashes(scene: Scene) -> None:
    assert scene.run.differences == []
    assert scene.report().exact
    counts, fleet = scene.run.world.counts, scene.run.fleet
    for fault in ("crash", "throttled", "server-error", "answer-lost"):
        assert counts[f"fault.{fault}"], fault
    assert scene.run.world.handed_over > fleet.accepted
    assert fleet.gone
    assert scene.run.asked


def test_everything_that_is_made_of_readings_was_compared(scene: Scene) -> None:
    compared = {check.what: (check.compared, check.open) for check in scene.report().checks}
    periods = len(scene.places("R#"))
    assert compared == {
        "latest states": (6, 0),
        "link states": (60, 0),
        "graph links": (60, 0),
        "rollups": (periods, 0),
        "gaps": (6, 0),
    }
    assert {place[0].split("#")[2] for place in scene.places("R#")} == {"5m", "1h", "1d"}


# --- gaps -----------------------------------------------------------------------------------------


def gaps(scene: Scene, edit: Callable[[tuple[Span, ...]], tuple[Span, ...]]) -> None:
    """Change what a gateway with a hole is said to hold."""
    for place in scene.places("H#"):
        stored = gaps_item.parse(scene.readings[place])
        ((epoch, known),) = stored.gaps.epochs.items()
        if len(known.held) > 1:
            changed = replace(stored.gaps, epochs={epoch: replace(known, held=edit(known.held))})
            scene.readings[place] = gaps_item.pack(replace(stored, gaps=changed), 0, 30)
            return
    pytest.fail("no gateway has a hole")


def test_a_gap_that_the_table_does_not_know_is_named(scene: Scene) -> None:
    gaps(scene, lambda held: (replace(held[0], end=held[1].end), *held[2:]))
    assert any("are not stored, and it says that they are" in said for _, said in scene.named())


def test_a_gap_that_is_none_is_named(scene: Scene) -> None:
    gaps(scene, lambda held: (replace(held[0], end=held[0].end - 5), *held[1:]))
    assert any("are stored, and it says that they are not" in said for _, said in scene.named())


def test_a_forgotten_reason_is_named(scene: Scene) -> None:
    for place in scene.places("H#"):
        stored = gaps_item.parse(scene.readings[place])
        ((epoch, known),) = stored.gaps.epochs.items()
        if known.told:
            changed = replace(stored.gaps, epochs={epoch: replace(known, told=())})
            scene.readings[place] = gaps_item.pack(replace(stored, gaps=changed), 0, 30)
            assert any("is not in it" in said for _, said in scene.named())
            return
    pytest.fail("no gateway has told of a loss")


def test_a_gateway_without_known_gaps_and_an_unreadable_item_are_named(scene: Scene) -> None:
    one, other = scene.places("H#")[:2]
    del scene.readings[one]
    scene.readings[other]["g"] = {"B": b"damaged"}
    said = [each for _, each in scene.named()]
    assert said.count("is missing, though hours have closed") == 2
    assert any("cannot be read" in each for each in said)


# --- chunks and the rest --------------------------------------------------------------------------


def test_a_lost_chunk_is_missing_and_spoils_what_was_made_of_it(scene: Scene) -> None:
    gateway = min(scene.latest)
    del scene.readings[scene.places(f"{gateway}#")[3]]
    report = scene.report()
    assert report.counts["missing"] >= 60
    spoilt = {check.what for check in report.checks if check.differences}
    assert {"rollups", "gaps"} <= spoilt <= {"rollups", "gaps", "link states"}


def test_an_item_that_nobody_knows_is_a_fault(scene: Scene) -> None:
    scene.readings["X#new", "1"] = {"p": {"S": "X#new"}, "s": {"S": "1"}}
    assert [fault.reason for fault in scene.report().faults] == ["nobody knows what it is"]


def test_ranges_without_others() -> None:
    assert without([(0, 10), (10, 20), (30, 40)], [(5, 6), (15, 35)]) == [(0, 5), (6, 15), (35, 40)]
    assert without([(0, 5)], [(0, 5)]) == []
