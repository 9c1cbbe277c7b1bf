"""The audit names what is wrong with rollups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from cloud import rollup_item
from cloud.rollup_item import Rollup
from cloud.rollup_summary import Measure, Summary
from cloud.sketch import Sketch
from tests.cloud.audit_made import Scene, made


@pytest.fixture
def scene() -> Scene:
    return made()


def change(scene: Scene, edit: Callable[[Rollup], Rollup], step: str = "1h") -> None:
    """Replace a rollup of a step."""
    place = next(place for place in scene.places("R#") if f"#{step}#" in place[0])
    scene.readings[place] = rollup_item.pack(edit(rollup_item.parse(scene.readings[place])), 35)


def echo(edit: Callable[[Summary], Summary]) -> Callable[[Rollup], Rollup]:
    """An edit of the first echo summary."""

    def edited(rollup: Rollup) -> Rollup:
        at = next(at for at, each in enumerate(rollup.series) if each.kind == "echo" and each.measures[0])
        return replace(
            rollup, series=(*rollup.series[:at], edit(rollup.series[at]), *rollup.series[at + 1 :])
        )

    return edited


def rtt(change: Callable[[Measure], Measure]) -> Callable[[Rollup], Rollup]:
    """An edit of the measure of the first echo summary."""

    def edit(summary: Summary) -> Summary:
        assert summary.measures[0]
        return replace(summary, measures=(change(summary.measures[0]),))

    return echo(edit)


@pytest.mark.parametrize("step", ["5m", "1h", "1d"])
@pytest.mark.parametrize("name", ["readings", "measured", "known", "down", "sent", "answered"])
def test_a_wrong_count_of_a_rollup_is_named(scene: Scene, name: str, step: str) -> None:
    change(scene, echo(lambda summary: replace(summary, **{name: getattr(summary, name) + 1})), step)
    ((what, said),) = scene.named()
    assert what == "rollups"
    assert f"echo {name}: recomputed" in said


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (rtt(lambda made: replace(made, rounds=1)), "rounds"),
        (rtt(lambda made: replace(made, samples=1)), "samples"),
        (rtt(lambda made: replace(made, total=1)), "sum"),
        (rtt(lambda made: replace(made, low=1)), "least"),
        (rtt(lambda made: replace(made, high=1 << 31)), "most"),
        (rtt(lambda made: replace(made, sketch=Sketch(((100, 1),)))), "count of the sketch"),
    ],
    ids=["rounds", "samples", "total", "low", "high", "sketch"],
)
def test_a_wrong_measure_of_a_rollup_is_named(
    scene: Scene, edit: Callable[[Rollup], Rollup], said: str
) -> None:
    change(scene, edit)
    assert any(f"rtt_p50_us {said}: recomputed" in each for _, each in scene.named())


def test_a_sketch_of_other_values_is_named(scene: Scene) -> None:
    def moved(summary: Summary) -> Summary:
        assert summary.measures[0]
        buckets = tuple((bucket + 1, count) for bucket, count in summary.measures[0].sketch.buckets)
        return replace(summary, measures=(replace(summary.measures[0], sketch=Sketch(buckets)),))

    change(scene, echo(moved))
    named = scene.named()
    assert named
    assert all("quantile" in said for _, said in named)


def test_a_missing_rollup_and_a_missing_series_are_named(scene: Scene) -> None:
    change(scene, lambda rollup: replace(rollup, series=rollup.series[1:]), "1d")
    place = scene.places("R#")[-1]
    del scene.readings[place]
    named = {said.split(": ")[-1] for _, said in scene.named()}
    assert {"not stored", "is missing"} <= named


def test_a_rollup_of_a_time_without_readings_is_named(scene: Scene) -> None:
    last = max(
        rollup_item.parse(scene.readings[place]).start_ms
        for place in scene.places("R#")
        if "#5m#" in place[0]
    )
    place = next(place for place in scene.places("R#") if "#5m#" in place[0])
    given = rollup_item.parse(scene.readings[place])
    moved = replace(given, start_ms=last, series=(replace(given.series[0], link="other"),), chunks=1)
    item = rollup_item.pack(moved, 35)
    scene.readings[item["p"]["S"], item["s"]["S"]] = item
    assert any("other" in said and "never generated" in said for _, said in scene.named())


def test_a_wrong_number_of_chunks_and_unreadable_bytes_are_named(scene: Scene) -> None:
    change(scene, lambda rollup: replace(rollup, chunks=rollup.chunks + 1))
    first = scene.places("R#")[0]
    scene.readings[first]["r"] = {"B": b"\x09damaged"}
    said = [each for _, each in scene.named()]
    assert any(each.startswith("chunks: recomputed") for each in said)
    assert any("not a rollup of this version" in each for each in said)
    assert "is missing" in said


def test_a_rollup_that_is_marked_to_be_made_again_is_not_judged(scene: Scene) -> None:
    change(scene, echo(lambda summary: replace(summary, readings=1)), "1h")
    place = next(place for place in scene.places("R#") if "#1h#" in place[0])
    mark = {"p": {"S": "D#00"}, "s": {"S": f"{place[0].split('#')[1]}#{place[1]}"}, "t": {"S": "1"}}
    scene.readings["D#00", mark["s"]["S"]] = mark
    report = scene.report()
    assert report.exact
    assert {check.what: check.open > 0 for check in report.checks}["rollups"]
