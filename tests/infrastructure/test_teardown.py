"""What `make destroy` says before it deletes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud.enrolment import Enrolment
from cloud.target import Connection, Target
from infrastructure.teardown import describe, enrolled, retained
from tests.deployed import deployed


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    with deployed(tmp_path_factory.mktemp("engine")) as made:
        yield made


@pytest.fixture(scope="module")
def target(connection: Connection) -> Target:
    return Target(connection.stack, connection)


def test_everything_that_holds_data_is_named_with_the_command_that_removes_it(target: Target) -> None:
    kept = {each.name: each for each in retained(target)}
    assert set(kept) == {
        *("Stream", "DeadLetters", "DeadLettersPolicy"),
        *("ReadingsTable", "LatestTable", "RegistryTable", "QuarantineTable"),
    }
    said = describe(target.stack, list(kept.values()))
    assert f"aws dynamodb delete-table --table-name {target.output('ReadingsTable')}" in said
    assert f"aws kinesis delete-stream --stream-name {target.output('StreamName')}" in said
    assert f"s3://{target.output('DeadLetterBucket')}" in said
    assert "DeadLettersPolicy" not in said


def test_an_enrolled_gateway_is_seen_because_it_would_block_the_deletion(
    target: Target, tmp_path: Path
) -> None:
    assert enrolled(target) == []
    Enrolment(target).add("standing", tmp_path)
    assert len(enrolled(target)) == 1
    Enrolment(target).remove("standing")
    assert enrolled(target) == []
