"""The smoke test finds what does not work and leaves nothing behind; the good case runs end to end."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from rich.console import Console

from cloud.target import Connection, Target, TargetError
from edge_agent.contract import decode, encode
from infrastructure.mqtt_once import RefusedError
from infrastructure.smoke import Smoke, SmokeError, Steps, chosen, sample_batch
from tests.deployed import deployed

NOW_MS = 1_795_000_000_000


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    with deployed(tmp_path_factory.mktemp("engine")) as made:
        yield made


@pytest.fixture(scope="module")
def target(connection: Connection) -> Target:
    return Target(connection.stack, connection)


def quiet() -> Steps:
    return Steps(Console(file=io.StringIO()))


def left_behind(target: Target) -> list[object]:
    iot, dynamodb = target.client("iot"), target.client("dynamodb")
    tables = (target.output("RegistryTable"), target.output("LatestTable"), target.output("ReadingsTable"))
    items = [item for table in tables for item in dynamodb.scan(TableName=table)["Items"]]
    return [*iot.list_things()["things"], *iot.list_certificates()["certificates"], *items]


def test_without_a_broker_it_fails_at_the_connection_and_leaves_nothing(target: Target) -> None:
    steps = quiet()
    with pytest.raises(RefusedError, match="refused"):
        Smoke(target, steps, 1.0, sleep=lambda _: None).run()
    failed = [each.name for each in steps.done if each.failure]
    assert failed == ["connect with its certificate"]
    assert steps.done[-1].name == "remove what was made"
    assert left_behind(target) == []


def test_an_interrupted_test_leaves_nothing(target: Target) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Smoke(target, quiet(), 1.0, sleep=interrupt).run()
    assert left_behind(target) == []


def test_a_batch_that_does_not_arrive_is_a_failure_that_says_where_to_look(target: Target) -> None:
    smoke = Smoke(target, quiet(), 0.0, sleep=lambda _: None)
    with pytest.raises(SmokeError, match=r"not in .*ReadingsTable.* look at the alarms"):
        smoke._read_back(sample_batch("smoke-1", NOW_MS))


def test_a_batch_that_was_altered_on_its_way_is_a_failure(target: Target) -> None:
    batch = sample_batch("smoke-2", NOW_MS)
    item = {
        "p": {"S": "smoke-2#20261118"},
        "s": {"S": f"{batch.first_ms:013d}#{batch.epoch:016x}#{0:010d}"},
        "b": {"B": encode(batch) + b"\0"},
    }
    table = target.output("ReadingsTable")
    target.client("dynamodb").put_item(TableName=table, Item=item)
    with pytest.raises(SmokeError, match="not what was sent"):
        Smoke(target, quiet(), 0.0, sleep=lambda _: None)._read_back(batch)
    target.client("dynamodb").delete_item(TableName=table, Key={"p": item["p"], "s": item["s"]})


def test_a_missing_stack_is_named_and_nothing_is_made(target: Target) -> None:
    steps = quiet()
    with pytest.raises(TargetError, match="linkpulse-none"):
        Smoke(Target("linkpulse-none", target.connection), steps).run()
    assert [each.name for each in steps.done] == ["find stack linkpulse-none of the local cloud"]
    assert left_behind(target) == []


def test_the_batch_is_marked_as_simulated_and_fits_the_contract() -> None:
    batch = sample_batch("smoke-3", NOW_MS)
    assert decode(encode(batch)) == batch
    assert all("simulated" in repr(reading.flags).lower() for reading in batch.readings)
    assert sample_batch("smoke-3", NOW_MS).epoch != batch.epoch


def test_the_local_cloud_is_meant_only_when_it_has_the_stack(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINKPULSE_STATE", str(tmp_path))
    assert not chosen("linkpulse-local").is_local
    (tmp_path / "connection.json").write_text(json.dumps(asdict(connection)))
    assert chosen("linkpulse-local").is_local
    assert not chosen("linkpulse-dev").is_local
