"""`linkview audit` against the tables of a stack (moto): what it prints, and its exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from cloud.__main__ import main
from cloud.audit_items import Item
from tests.cloud.audit_scene import Scene, lines, two_gateways

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = two_gateways()
    yield scene
    scene.ledger.close()


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
