"""What comes late leaves a mark for the rollups, after its chunk is stored; what is live leaves none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from cloud import keys
from cloud.keys import DAY_MS, HOUR_MS
from tests.cloud.conftest import Faulty
from tests.cloud.records import NOW, batch, echo, envelope, record, records

if TYPE_CHECKING:
    from tests.cloud.conftest import Cloud


def marks(cloud: Cloud) -> list[dict[str, Any]]:
    return [item for item in cloud.items("readings") if item["p"]["S"].startswith("D#")]


def late(gateway: str = "gw-1", ago_ms: int = 2 * HOUR_MS, sequence: int = 0) -> bytes:
    return envelope(batch(gateway, [echo(at_ms=NOW - ago_ms)], sequence))


def test_a_live_batch_leaves_no_mark(cloud: Cloud) -> None:
    cloud.ingest(records(envelope(batch(readings=[echo(at_ms=NOW - 240_000), echo(at_ms=NOW)]))))
    assert marks(cloud) == []
    assert (cloud.counts["Late"], cloud.counts["BeyondWindow"]) == (0, 0)


def test_late_readings_mark_their_hours_and_are_counted(cloud: Cloud) -> None:
    cloud.ingest(records(late(), late("gw-2"), late(ago_ms=3 * HOUR_MS, sequence=1), envelope(batch("gw-3"))))
    found = {keys.parse_mark(item["s"]["S"]) for item in marks(cloud)}
    hour = (NOW - 2 * HOUR_MS) // HOUR_MS * HOUR_MS
    assert found == {("gw-1", hour), ("gw-2", hour), ("gw-1", hour - HOUR_MS)}
    assert (cloud.counts["Late"], cloud.counts["BeyondWindow"]) == (3, 0)


def test_a_mark_that_is_put_again_has_another_token(cloud: Cloud) -> None:
    tokens = []
    for _ in range(2):
        cloud.ingest(records(late()))
        (mark,) = marks(cloud)
        tokens.append(mark["t"]["S"])
    assert len(set(tokens)) == 2


@pytest.mark.parametrize(("late_days", "retention_days", "window"), [(3, 30, 3), (35, 30, 29)])
def test_late_data_beyond_the_window_are_stored_and_counted_and_marked_nowhere(
    cloud: Cloud, late_days: int, retention_days: int, window: int
) -> None:
    older, within = late(ago_ms=(window + 1) * DAY_MS), late(ago_ms=(window - 1) * DAY_MS, sequence=1)
    cloud.ingest(records(older, within), late_days=late_days, retention_days=retention_days)
    assert len(marks(cloud)) == 1
    assert len(cloud.items("readings")) == 3
    assert (cloud.counts["Late"], cloud.counts["BeyondWindow"]) == (2, 1)


def test_a_mark_is_put_after_its_chunk(cloud: Cloud) -> None:
    put: list[str] = []

    def fault(operation: str, request: dict[str, Any]) -> Any:
        if operation == "batch_write_item":
            put.extend(
                each["PutRequest"]["Item"]["p"]["S"]
                for puts in request["RequestItems"].values()
                for each in puts
            )

    cloud.ingest(records(late()), client=Faulty(cloud.client, fault))
    assert [keys.is_chunk(partition) for partition in put] == [True, False]


def test_a_mark_that_fails_is_reported_and_put_when_its_record_comes_again(cloud: Cloud) -> None:
    def fault(operation: str, request: dict[str, Any]) -> Any:
        if "'D#" in repr(request):
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow down"}}, operation)

    event = [record(envelope(batch("live")), 7), record(late(), 8)]
    assert cloud.ingest(event, client=Faulty(cloud.client, fault)) == [{"itemIdentifier": "8"}]
    assert marks(cloud) == []
    assert cloud.ingest(event[1:]) == []
    assert len(marks(cloud)) == 1


def test_a_chunk_that_is_not_stored_leaves_no_mark(cloud: Cloud) -> None:
    def fault(operation: str, request: dict[str, Any]) -> Any:
        raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow down"}}, operation)

    assert cloud.ingest(records(late()), client=Faulty(cloud.client, fault)) == [{"itemIdentifier": "100"}]
    assert (cloud.items("readings"), cloud.counts["Late"]) == ([], 0)
