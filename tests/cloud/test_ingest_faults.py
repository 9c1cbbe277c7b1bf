"""The ingest pipeline when a call fails: tried again, reported by the lowest sequence, or set aside."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from cloud import poison
from tests.cloud.conftest import Clock, Faulty, patience
from tests.cloud.records import (
    NOW,
    batch,
    envelope,
    records,
)

if TYPE_CHECKING:
    from tests.cloud.conftest import Cloud


def throttled(operation: str) -> ClientError:
    code = "ProvisionedThroughputExceededException"
    return ClientError({"Error": {"Code": code, "Message": "slow down"}}, operation)


def invalid(operation: str) -> ClientError:
    return ClientError({"Error": {"Code": "ValidationException", "Message": "bad item"}}, operation)


def test_unprocessed_items_are_tried_again_until_they_are_stored(cloud: Cloud) -> None:
    rng = random.Random(3)
    calls = []

    def fault(operation: str, request: dict[str, Any]) -> Any:
        if operation != "batch_write_item":
            return None
        calls.append(request)
        table = cloud.settings.readings_table
        if len(calls) > 4 or table not in request["RequestItems"]:
            return None
        left = [each for each in request["RequestItems"][table] if rng.random() < 0.5]
        done = [each for each in request["RequestItems"][table] if each not in left]
        if done:
            cloud.client.batch_write_item(RequestItems={table: done})
        return {"UnprocessedItems": {table: left} if left else {}}

    event = records(*(envelope(batch(f"gw-{number}")) for number in range(20)))
    assert cloud.ingest(event, client=Faulty(cloud.client, fault)) == []
    assert len(cloud.items("readings")) == 20
    assert len(calls) > 1


def test_a_transient_failure_reports_the_lowest_sequence_alone_and_counts_what_came_before(
    cloud: Cloud,
) -> None:
    def fault(operation: str, request: dict[str, Any]) -> Any:
        if operation == "batch_write_item":
            left = {
                table: [each for each in puts if each["PutRequest"]["Item"]["p"]["S"][:4] in ("gw-3", "gw-5")]
                for table, puts in request["RequestItems"].items()
            }
            for table, puts in request["RequestItems"].items():
                done = [each for each in puts if each not in left[table]]
                if done:
                    cloud.client.batch_write_item(RequestItems={table: done})
            return {"UnprocessedItems": left}
        return None

    event = records(*(envelope(batch(f"gw-{number}")) for number in range(7)), first=98)
    assert cloud.ingest(event, client=Faulty(cloud.client, fault)) == [{"itemIdentifier": "101"}]
    assert len(cloud.items("readings")) == 5
    assert cloud.counts["Batches"] == 3
    assert cloud.counts["Retried"] == 2
    assert cloud.ingest(event[3:]) == []
    assert cloud.counts["Batches"] == 4
    assert len(cloud.items("readings")) == len(cloud.items("latest")) == 7


def test_sequence_numbers_are_compared_as_numbers(cloud: Cloud) -> None:
    def fault(operation: str, request: dict[str, Any]) -> Any:
        raise throttled(operation)

    event = records(*(envelope(batch(f"gw-{number}")) for number in range(3)), first=9)
    assert cloud.ingest(event, client=Faulty(cloud.client, fault)) == [{"itemIdentifier": "9"}]


@pytest.mark.parametrize("operation", ["batch_write_item", "put_item", "batch_get_item"])
@pytest.mark.parametrize("error", [throttled, lambda _: ConnectTimeoutError(endpoint_url="http://x")])
def test_a_write_that_fails_for_a_while_is_tried_again(cloud: Cloud, operation: str, error: Any) -> None:
    failing = iter([True] * 5)

    def fault(called: str, request: dict[str, Any]) -> Any:
        if called == operation and next(failing, False):
            raise error(called)

    event = records(envelope(batch("gw-1")), envelope(batch("gw-2")))
    assert cloud.ingest(event, client=Faulty(cloud.client, fault)) == []
    assert len(cloud.items("readings")) == len(cloud.items("latest")) == 2


def test_a_latest_state_that_cannot_be_written_is_reported_and_heals_with_the_retry(cloud: Cloud) -> None:
    def fault(operation: str, request: dict[str, Any]) -> Any:
        if operation == "put_item" and request["Item"].get("gateway") == {"S": "gw-2"}:
            raise throttled(operation)

    event = records(*(envelope(batch(f"gw-{number}")) for number in range(4)))
    assert cloud.ingest(event, client=Faulty(cloud.client, fault)) == [{"itemIdentifier": "102"}]
    assert cloud.ingest(event[2:]) == []
    assert len(cloud.items("latest")) == 4


def test_retries_end_before_the_function_is_ended(cloud: Cloud) -> None:
    def fault(operation: str, request: dict[str, Any]) -> Any:
        raise throttled(operation)

    clock = Clock(60)
    client = Faulty(cloud.client, fault)
    answer = cloud.pipeline(client=client).run(records(envelope(batch())), patience(clock), NOW)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "100"}]}
    assert clock.left_s >= 15
    assert len(clock.slept) > 5
    assert max(clock.slept) <= 2


def test_one_item_that_the_store_refuses_is_quarantined_and_its_neighbours_are_stored(cloud: Cloud) -> None:
    def fault(operation: str, request: dict[str, Any]) -> Any:
        if operation in ("batch_write_item", "put_item") and "odd#" in repr(request):
            raise invalid(operation)

    event = records(*(envelope(batch(name)) for name in ("gw-1", "odd", "gw-2")))
    assert cloud.ingest(event, client=Faulty(cloud.client, fault)) == []
    assert {item["p"]["S"][:4] for item in cloud.items("readings")} == {"gw-1", "gw-2"}
    found = poison.parse(cloud.items("quarantine")[0])
    assert (found.code, found.thing) == ("refused", "odd")
    assert "ValidationException: bad item" in found.reason
    assert cloud.counts["Batches"] == 2


def test_a_missing_permission_is_not_the_records_fault(cloud: Cloud) -> None:
    def fault(operation: str, request: dict[str, Any]) -> Any:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, operation)

    event = records(envelope(batch()))
    assert cloud.ingest(event, client=Faulty(cloud.client, fault)) == [{"itemIdentifier": "100"}]
    assert cloud.items("quarantine") == []


def test_poison_that_cannot_be_quarantined_stays_in_the_stream(cloud: Cloud) -> None:
    def fault(operation: str, request: dict[str, Any]) -> Any:
        if cloud.settings.quarantine_table in repr(request):
            raise invalid(operation)

    event = records(envelope(batch()), b"poison")
    assert cloud.ingest(event, client=Faulty(cloud.client, fault)) == [{"itemIdentifier": "101"}]
    assert cloud.counts["Quarantined"] == 0


def test_without_the_registry_readings_are_stored_and_shown_all_the_same(cloud: Cloud) -> None:
    def fault(operation: str, request: dict[str, Any]) -> Any:
        if operation == "batch_get_item" and cloud.settings.registry_table in request["RequestItems"]:
            raise throttled(operation)

    assert cloud.ingest(records(envelope(batch())), client=Faulty(cloud.client, fault)) == []
    assert len(cloud.items("readings")) == len(cloud.items("latest")) == 1
