"""The audit names what is wrong with latest states, rollups and gaps; and all is right after many faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import pytest

from cloud import gaps_item, rollup_item
from cloud.audit_check import without
from cloud.audit_compare import Report, Tables, compare, item_of
from cloud.audit_ledger import Ledger
from cloud.gap_ranges import Span
from cloud.rollup_item import Rollup
from cloud.rollup_summary import Summary
from cloud.sketch import Sketch
from edge_agent.contract import KINDS, Reading, decode
from infrastructure.local.faults import Fault
from tests.benchmarks import exactness
from tests.benchmarks.exactness import Run
from tests.benchmarks.exactness_fleet import delivery
from tests.benchmarks.exactness_world import RATES, World

HARSH = {**RATES, **dict.fromkeys((Fault.THROTTLED, Fault.SERVER_ERROR, Fault.ANSWER_LOST), 0.03)}
"""A small run has few calls; more of them fail."""
Item = dict[str, Any]
Named = list[tuple[str, str]]
"""What was checked, and what is said of it."""


@dataclass
class Scene:
    """The tables of a run under faults, to be damaged, and what was generated."""

    run: Run
    ledger: Ledger
    readings: dict[tuple[str, str], Item]
    latest: dict[str, Item]

    def report(self) -> Report:
        items = (item_of(item) for item in self.readings.values())
        return compare(self.ledger, Tables(items, list(self.latest.values()), self.run.now_ms))

    def named(self) -> Named:
        report = self.report()
        assert not any(report.counts.values())
        return [(check.what, each.detail) for check in report.checks for each in check.differences]

    def places(self, kind: str, sort: Callable[[str], bool] = bool) -> list[tuple[str, str]]:
        return sorted(place for place in self.readings if place[0].startswith(kind) and sort(place[1]))


@pytest.fixture(scope="module")
def made() -> Iterator[tuple[Run, Ledger]]:
    ledger = Ledger()
    yield exactness.run(12_000, 3, HARSH, gateways=6, never=0.06, ledger=ledger), ledger
    ledger.close()


@pytest.fixture
def scene(made: tuple[Run, Ledger]) -> Scene:
    run, ledger = made
    tables = run.world.tables.tables
    readings = {(each["p"]["S"], each["s"]["S"]): deepcopy(each) for each in tables["readings"].items()}
    states = {each["gateway"]["S"]: deepcopy(each) for each in tables["latest"].items()}
    return Scene(run, ledger, readings, states)


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
    assert compared == {"latest states": (6, 0), "rollups": (periods, 0), "gaps": (6, 0)}
    assert {place[0].split("#")[2] for place in scene.places("R#")} == {"5m", "1h", "1d"}


# --- rollups --------------------------------------------------------------------------------------


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


def rtt(**changes: int | Sketch) -> Callable[[Rollup], Rollup]:
    """An edit of the measure of the first echo summary."""

    def edit(summary: Summary) -> Summary:
        assert summary.measures[0]
        return replace(summary, measures=(replace(summary.measures[0], **changes),))  # type: ignore[arg-type]

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
        (rtt(rounds=1), "rounds"),
        (rtt(samples=1), "samples"),
        (rtt(total=1), "sum"),
        (rtt(low=1), "least"),
        (rtt(high=1 << 31), "most"),
        (rtt(sketch=Sketch(((100, 1),))), "count of the sketch"),
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


# --- latest states --------------------------------------------------------------------------------


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


def with_values(reading: Reading, **changes: int) -> Reading:
    names = [each.name for each in KINDS[reading.kind].columns]
    values = list(reading.values)
    for name, value in changes.items():
        values[names.index(name)] = value
    return replace(reading, values=tuple(values))


def test_a_state_as_the_batch_makes_it_is_right(scene: Scene) -> None:
    take_in(scene, lambda reading: reading)
    assert scene.named() == []


def test_a_wrong_value_of_a_latest_state_is_named(scene: Scene) -> None:
    take_in(scene, lambda reading: with_values(reading, reply_ttl=1))
    ((what, said),) = scene.named()
    assert what == "latest states"
    assert "echo content: recomputed" in said


def test_wrong_round_trips_of_a_latest_state_are_named(scene: Scene) -> None:
    take_in(scene, lambda reading: with_values(reading, sent=90, received=1))
    said = [each for _, each in scene.named()]
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
    assert {check.what for check in report.checks if check.differences} == {"rollups", "gaps"}


def test_an_item_that_nobody_knows_is_a_fault(scene: Scene) -> None:
    scene.readings["X#new", "1"] = {"p": {"S": "X#new"}, "s": {"S": "1"}}
    assert [fault.reason for fault in scene.report().faults] == ["nobody knows what it is"]


def test_ranges_without_others() -> None:
    assert without([(0, 10), (10, 20), (30, 40)], [(5, 6), (15, 35)]) == [(0, 5), (6, 15), (35, 40)]
    assert without([(0, 5)], [(0, 5)]) == []
