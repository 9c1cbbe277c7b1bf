"""The audit says "exactly once" when, and only when, the table holds what was generated."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from cloud.__main__ import main
from cloud.audit_compare import Report, Tables, TruthError, compare, settle, truth
from cloud.audit_items import Item
from cloud.audit_ledger import Ledger
from edge_agent.contract import Batch, Reading, describe_reading, encode, row

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

START_MS = 1_790_000_000_000
ECHO = (5, 5, 0, 0, 0, 0, 1000, 1100, None, 1300, 1120, 90, 70, 0, 64)


def batch(gateway: str, number: int, rows: int = 6) -> Batch:
    """The number-th minute of a gateway: rows readings of one link, 10 s apart."""
    first = number * rows
    readings = tuple(
        Reading(
            f"{gateway}:radio1",
            "echo",
            START_MS + (first + row) * 10_000,
            (*ECHO[:11], first + row, *ECHO[12:]),
        )
        for row in range(rows)
    )
    return Batch(gateway, 77, first, START_MS, readings)


def item(batch: Batch) -> Item:
    day = f"{datetime.fromtimestamp(batch.first_ms / 1000, UTC):%Y%m%d}"
    s = f"{batch.first_ms:013d}#{batch.epoch:016x}#{batch.first_sequence:010d}"
    return Item(f"{batch.gateway}#{day}", s, encode(batch))


@dataclass
class Scene:
    """Truth in a ledger, and a table to damage."""

    batches: Sequence[Batch]
    table: list[Item] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.table = [item(each) for each in self.batches]
        self.ledger = Ledger()
        self.ledger.add_generated(
            (
                each.gateway,
                reading.link,
                reading.kind,
                reading.at_ms,
                repr((int(reading.flags), int(reading.outcome), *reading.values)),
            )
            for each in self.batches
            for reading in each.readings
        )

    def report(self) -> Report:
        return compare(self.ledger, Tables(self.table))


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene([batch(gateway, number) for gateway in ("gw-0001", "gw-0002") for number in range(3)])
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


# --- truth files ----------------------------------------------------------------------------------


def lines(*batches: Batch) -> bytes:
    return b"".join(
        json.dumps({"gateway": each.gateway, **describe_reading(reading)}).encode() + b"\n"
        for each in batches
        for reading in each.readings
    )


def test_truth_lines_become_rows_with_the_content_that_the_wire_gives(tmp_path: Path, scene: Scene) -> None:
    file = tmp_path / "run.jsonl"
    file.write_bytes(lines(*scene.batches))
    ledger = Ledger()
    ledger.add_generated(truth([file]))
    assert compare(ledger, Tables(scene.table)).exact


def test_a_line_that_was_cut_off_is_told_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "run.jsonl"
    file.write_bytes(lines(batch("gw", 0))[:-5])
    assert len(list(truth([file]))) == 5
    assert capsys.readouterr().err == f"{file}:6: cut off, ignored\n"


READING = json.loads(lines(batch("gw", 0)).splitlines()[0])


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        "[]",
        "no json",
        "[" * 100_000,
        '{"gateway":"g","link":"l","kind":"tea","at_ms":1}',
        json.dumps(READING | {"at_ms": 1 << 63}),
        json.dumps(READING | {"at_ms": "now"}),
        json.dumps(READING | {"link": {}}),
        json.dumps(READING | {"link": "\ud800"}),
    ],
    ids=lambda line: line[:40],
)
def test_a_line_that_is_no_reading_is_named_by_file_and_number(tmp_path: Path, line: str) -> None:
    file = tmp_path / "run.jsonl"
    file.write_bytes(lines(batch("gw", 0, 1)) + line.encode() + b"\n")
    with pytest.raises(TruthError, match=r"run\.jsonl:2: "):
        list(truth([file]))


# --- independence ---------------------------------------------------------------------------------

READERS = {"keys", "latest", "rollup_cursor", "rollup_item", "gaps_item"}
"""Latest states, rollups and gaps are read as everybody reads them; chunks by a reader of our own."""
TYPES = {"Latest", "Series", "Rollup", "RollupError", "Measure", "Summary", "Epoch", "Gaps"}
TYPES |= {"GapsError", "ContractError"}
ALLOWED = {"boto3", "botocore", "rich", "mypy_boto3_dynamodb", "cloud.target"}


@pytest.mark.parametrize("module", sorted(Path("cloud").glob("audit*.py")), ids=lambda path: path.name)
def test_the_audit_shares_no_code_with_the_ingest_path(module: Path) -> None:
    for node in ast.walk(ast.parse(module.read_text())):
        names = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [f"{node.module}" if node.level == 0 else "relative"]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        imported = {alias.name for alias in node.names} if isinstance(node, ast.ImportFrom) else set()
        known = READERS if names == ["cloud"] else TYPES
        if imported and imported <= known:
            continue
        for name in names:
            root = name.partition(".")[0]
            allowed = root in sys.stdlib_module_names or {root, name} & ALLOWED
            assert allowed or name.startswith("cloud.audit"), f"{module.name} imports {name}"


# --- the command, against moto --------------------------------------------------------------------


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scene: Scene) -> Iterator[DynamoDBClient]:
    """A stack with the scene's table and its truth where the simulator leaves it, in a new folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("LINKPULSE_STATE", raising=False)
    folder = tmp_path / ".linkpulse" / "s" / "truth"
    folder.mkdir(parents=True)
    (folder / "one.jsonl").write_bytes(lines(*scene.batches[:2]))
    (folder / "two.jsonl").write_bytes(lines(*scene.batches[2:]))
    keys = [{"AttributeName": name, "AttributeType": "S"} for name in "ps"]
    schema = [{"AttributeName": name, "KeyType": kind} for name, kind in (("p", "HASH"), ("s", "RANGE"))]
    properties = {
        "TableName": "readings",
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": keys,
        "KeySchema": schema,
    }
    latest = {
        **properties,
        "TableName": "latest",
        "AttributeDefinitions": [{"AttributeName": "gateway", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "gateway", "KeyType": "HASH"}],
    }
    kind = "AWS::DynamoDB::Table"
    template = {
        "Resources": {
            "T": {"Type": kind, "Properties": properties},
            "L": {"Type": kind, "Properties": latest},
        },
        "Outputs": {"ReadingsTable": {"Value": "readings"}, "LatestTable": {"Value": "latest"}},
    }
    with mock_aws():
        boto3.client("cloudformation").create_stack(StackName="s", TemplateBody=json.dumps(template))
        database = boto3.client("dynamodb")
        for each in scene.table:
            database.put_item(TableName="readings", Item=stored(each))
        yield database


def stored(item: Item) -> Any:
    return {"p": {"S": item.p}, "s": {"S": item.s}, "b": {"B": item.payload}, "e": {"N": "1800000000"}}


AUDIT = ["audit", "--stack", "s"]


def test_the_command_says_every_reading_exactly_once(
    table: DynamoDBClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(AUDIT) == 0
    assert "every reading exactly once: 36 readings, 2 gateways" in capsys.readouterr().out


def test_one_deleted_row_makes_the_command_fail_and_name_its_readings(
    table: DynamoDBClient, scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    row = stored(scene.table[4])
    table.delete_item(TableName="readings", Key={"p": row["p"], "s": row["s"]})
    assert main(AUDIT) == 1
    said = capsys.readouterr().out
    assert "missing: gw-0002 gw-0002:radio1 echo 2026-09-21T14:14:20.000Z" in said
    assert "not exactly once: readings 6; faulty items 0" in said


def test_one_doubled_row_makes_the_command_fail_and_name_its_readings(
    table: DynamoDBClient, scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    row = stored(scene.table[0])
    table.put_item(TableName="readings", Item={**row, "s": {"S": row["s"]["S"] + "x"}})
    assert main(AUDIT) == 1
    assert "doubled: gw-0001 gw-0001:radio1 echo 2026-09-21T14:13:20.000Z" in capsys.readouterr().out


def test_one_altered_byte_makes_the_command_fail_and_name_item_and_readings(
    table: DynamoDBClient, scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    payload = bytearray(scene.table[0].payload)
    payload[9] ^= 0x10
    table.put_item(TableName="readings", Item=stored(replace(scene.table[0], payload=bytes(payload))))
    assert main([*AUDIT, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["counts"] == {"missing": 6, "doubled": 0, "altered": 0, "unexpected": 0}
    assert report["faults"][0]["p"] == scene.table[0].p
    assert report["offences"][0]["utc"] == "2026-09-21T14:13:20.000Z"


def test_only_the_files_given_count(table: DynamoDBClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*AUDIT, ".linkpulse/s/truth/one.jsonl", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["generated"] == 12


def test_without_truth_there_is_nothing_to_compare_and_that_is_no_success(
    table: DynamoDBClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.jsonl").touch()
    for arguments in ([*AUDIT, "empty.jsonl"], [*AUDIT, "gone.jsonl"], ["audit", "--stack", "other"]):
        assert main(arguments) == 2
        said = capsys.readouterr()
        assert (said.out, said.err.count("\n")) == ("", 1)


@pytest.mark.parametrize("seconds", ["-1", "soon", "nan", "1e9"])
def test_a_settle_time_that_is_none_is_refused(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*AUDIT, "--settle", seconds])
    assert caught.value.code == 2
    assert "must be 0 to 86400 seconds" in capsys.readouterr().err
