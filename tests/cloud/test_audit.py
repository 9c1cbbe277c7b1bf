"""The audit says "exactly once" when, and only when, the table holds what was generated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cloud.audit_compare import Report, Tables, compare, settle, truth
from cloud.audit_items import Item
from cloud.audit_ledger import Ledger
from edge_agent.contract import Batch, Reading, row
from tests.cloud.audit_scene import ECHO, START_MS, Scene, batch, item, lines, two_gateways


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = two_gateways()
    yield scene
    scene.ledger.close()


def verdicts(report: Report) -> list[tuple[str, str, int]]:
    return [(each.verdict, each.gateway, (each.at_ms - START_MS) // 10_000) for each in report.offences]


def test_an_equal_table_is_exact(scene: Scene) -> None:
    report = scene.report()
    assert report.exact
    assert (report.generated, report.stored, report.gateways, report.items) == (36, 36, 2, 6)


def test_a_deleted_item_is_missing_reading_by_reading(scene: Scene) -> None:
    del scene.table[1]
    report = scene.report()
    assert not report.exact
    assert verdicts(report) == [("missing", "gw-0001", row) for row in range(6, 12)]


def test_an_item_doubled_under_another_key_is_doubled_and_misfiled(scene: Scene) -> None:
    scene.table.append(replace(scene.table[0], s=scene.table[0].s[:-1] + "9"))
    report = scene.report()
    assert verdicts(report) == [("doubled", "gw-0001", row) for row in range(6)]
    assert {fault.reason.split()[1] for fault in report.faults} == {"content", "sequences"}
    assert report.faults[0].first_reading.startswith("gw-0001 gw-0001:radio1 echo 2026-09-21T")


def test_readings_sealed_again_in_another_batch_are_doubled(scene: Scene) -> None:
    again = replace(batch("gw-0002", 1), epoch=78)
    scene.table.append(item(replace(again, readings=again.readings[2:4])))
    report = scene.report()
    assert verdicts(report) == [("doubled", "gw-0002", 8), ("doubled", "gw-0002", 9)]
    assert not report.fault_count


def test_an_altered_value_names_its_column_with_both_values(scene: Scene) -> None:
    altered = batch("gw-0002", 1)
    values = list(altered.readings[3].values)
    values[6], values[8] = 1001, 4
    readings = list(altered.readings)
    readings[3] = replace(readings[3], values=tuple(values))
    scene.table[4] = item(replace(altered, readings=tuple(readings)))
    report = scene.report()
    assert verdicts(report) == [("altered", "gw-0002", 9)]
    assert (
        report.offences[0].detail
        == "rtt_min_us: generated 1000, stored 1001, rtt_p95_us: generated None, stored 4"
    )


def test_an_altered_time_is_one_missing_and_one_unexpected(scene: Scene) -> None:
    altered = batch("gw-0002", 1)
    readings = list(altered.readings)
    readings[3] = replace(readings[3], at_ms=readings[3].at_ms + 1)
    scene.table[4] = item(replace(altered, readings=tuple(readings)))
    assert [each.verdict for each in scene.report().offences] == ["missing", "unexpected"]


def test_a_damaged_byte_is_a_fault_of_its_item_and_its_readings_are_missing(scene: Scene) -> None:
    payload = bytearray(scene.table[0].payload)
    payload[20] ^= 1
    scene.table[0] = replace(scene.table[0], payload=bytes(payload))
    report = scene.report()
    assert verdicts(report) == [("missing", "gw-0001", row) for row in range(6)]
    assert [fault.p for fault in report.faults] == [scene.table[0].p]


def test_a_moved_item_is_misfiled_though_all_its_readings_are_there(scene: Scene) -> None:
    scene.table[0] = replace(scene.table[0], p=scene.table[0].p.replace("gw-0001", "gw-0009"))
    report = scene.report()
    assert not any(report.counts.values())
    assert report.fault_count == 1
    assert "belongs under gw-0001#" in report.faults[0].reason


def test_overlapping_sequences_of_one_epoch_are_a_fault(scene: Scene) -> None:
    scene.table[1] = item(replace(scene.batches[1], first_sequence=5))
    report = scene.report()
    assert not any(report.counts.values())
    assert [fault.reason for fault in report.faults] == [
        "its sequences 5 to 10 are also in another item",
    ]


def test_a_reading_that_nobody_generated_is_unexpected_within_the_time_of_its_gateway(scene: Scene) -> None:
    invented = Reading("gw-0001:radio9", "echo", START_MS + 70_000, ECHO)
    outside = replace(invented, at_ms=START_MS + 10_000_000)
    for number, reading in enumerate((invented, outside)):
        scene.table.append(item(Batch("gw-0001", 78 + number, 0, START_MS, (reading,))))
    assert verdicts(scene.report()) == [("unexpected", "gw-0001", 7)]


def test_other_gateways_of_the_table_are_left_alone(scene: Scene) -> None:
    scene.table += [item(batch("other", 0)), Item("other#20260921", "x", b"damaged")]
    assert scene.report().exact


def test_a_reading_generated_twice_must_be_there_twice(scene: Scene) -> None:
    again = replace(batch("gw-0001", 0), epoch=78)
    scene.ledger.add_generated(
        ("gw-0001", each.link, each.kind, each.at_ms, repr((0, 0, *each.values))) for each in again.readings
    )
    assert scene.report().counts["missing"] == 6
    scene.table.append(item(again))
    assert scene.report().exact


def test_no_more_than_twenty_offences_are_kept_but_all_are_counted(scene: Scene) -> None:
    scene.table.clear()
    report = scene.report()
    assert (len(report.offences), report.counts["missing"]) == (20, 36)


@dataclass
class FakeClock:
    """A clock that only sleeping moves."""

    now: float = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_settling_waits_for_the_missing_and_ends_when_they_are_there(scene: Scene) -> None:
    clock, late = FakeClock(), scene.table.pop()

    def scan() -> Tables:
        return Tables([*scene.table, late] if clock.now >= 5 else scene.table)

    said: list[Report] = []
    report = settle(scene.ledger, scan, 30, said.append, clock.monotonic, clock.sleep)
    assert report.exact
    assert 5 <= clock.now < 30
    assert [each.counts["missing"] for each in said] == [6] * len(said)


def test_settling_ends_when_its_time_is_over(scene: Scene) -> None:
    clock = FakeClock()
    report = settle(scene.ledger, lambda: Tables(()), 4.5, monotonic=clock.monotonic, sleep=clock.sleep)
    assert report.counts["missing"] == 36
    assert clock.now == 4.5


def test_settling_does_not_wait_for_what_cannot_heal(scene: Scene) -> None:
    clock = FakeClock()
    scene.table.append(item(replace(batch("gw-0001", 0), epoch=78)))
    report = settle(
        scene.ledger, lambda: Tables(scene.table), 30, monotonic=clock.monotonic, sleep=clock.sleep
    )
    assert report.counts["doubled"] == 6
    assert clock.now == 0


def test_the_hops_of_one_path_are_told_apart_though_their_time_is_one(
    tmp_path: Path,
) -> None:
    values = [row("path", hop=hop, hops=3, sent=3, answered=hop) for hop in (1, 2, 3)]
    hops = tuple(Reading("gw:radio1", "path", START_MS, each) for each in values)
    scene = Scene([Batch("gw", 7, 0, START_MS, hops)])
    ledger = Ledger()
    file = tmp_path / "run.jsonl"
    file.write_bytes(lines(*scene.batches))
    ledger.add_generated(truth([file]))
    assert compare(ledger, Tables(scene.table)).exact
    lost = replace(scene.batches[0], readings=hops[:2])
    assert compare(ledger, Tables([item(lost)])).counts["missing"] == 1
