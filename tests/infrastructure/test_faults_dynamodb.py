"""The proxy before DynamoDB, between real clients and a real engine."""

from __future__ import annotations

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from infrastructure.local.faults import Dice, Fault, FaultPlan
from infrastructure.local.faults_dynamodb import split
from infrastructure.local.state import Counters
from tests.infrastructure.faulty import bench, new_table, put, stored
from tests.infrastructure.parts import Engine


@pytest.fixture
def table(running_engine: Engine) -> str:
    return new_table(running_engine)


def test_without_faults_calls_pass_as_they_are(running_engine: Engine, table: str) -> None:
    with bench(running_engine, Fault.CRASH, 0.0) as made:
        client = made.client()
        for number in range(5):
            put(client, table, number)
        assert client.scan(TableName=table)["Count"] == 5
        with pytest.raises(ClientError, match="ResourceNotFoundException"):
            client.scan(TableName="no-such-table")
    assert made.counters.snapshot() == {}


def test_a_throttled_call_says_so_and_does_nothing(running_engine: Engine, table: str) -> None:
    """ "You exceeded your maximum allowed provisioned throughput", HTTP 400 (Programming.Errors)."""
    with bench(running_engine, Fault.THROTTLED, 1.0) as made, pytest.raises(ClientError) as caught:
        put(made.client(), table, 1)
    assert caught.value.response["Error"]["Code"] == "ProvisionedThroughputExceededException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert (stored(running_engine, table), made.count(Fault.THROTTLED)) == ([], 1)


def test_a_server_error_may_or_may_not_have_taken_effect(running_engine: Engine, table: str) -> None:
    """ "DynamoDB could not process your request", HTTP 500 (Programming.Errors): of twenty such writes some
    are there and some are not."""
    with bench(running_engine, Fault.SERVER_ERROR, 1.0) as made:
        client = made.client()
        for number in range(20):
            with pytest.raises(ClientError, match="InternalServerError"):
                put(client, table, number)
    assert 0 < len(stored(running_engine, table)) < 20


def test_a_lost_answer_comes_after_the_effect(running_engine: Engine, table: str) -> None:
    with bench(running_engine, Fault.ANSWER_LOST, 1.0) as made, pytest.raises(BotoCoreError):
        put(made.client(), table, 1)
    assert (stored(running_engine, table), made.count(Fault.ANSWER_LOST)) == ([1], 1)


def test_unprocessed_items_are_named_and_not_written(running_engine: Engine, table: str) -> None:
    """ "If any requested operations fail … the failed operations are returned in the UnprocessedItems
    response parameter" (API_BatchWriteItem): part is written, part is named, together all."""
    requests = [{"PutRequest": {"Item": {"p": {"S": "p"}, "n": {"N": str(n)}}}} for n in range(10)]
    with bench(running_engine, Fault.UNPROCESSED, 1.0) as made:
        answer = made.client().batch_write_item(RequestItems={table: requests})
        left = [int(each["PutRequest"]["Item"]["n"]["N"]) for each in answer["UnprocessedItems"][table]]
        assert 0 < len(left) < 10
        assert sorted(left + stored(running_engine, table)) == list(range(10))
        keys = [{"p": {"S": "p"}, "n": {"N": str(n)}} for n in stored(running_engine, table) + left[:1]]
        read = made.client().batch_get_item(RequestItems={table: {"Keys": keys, "ConsistentRead": True}})
    assert read["UnprocessedKeys"][table]["ConsistentRead"]
    assert 0 < len(read["UnprocessedKeys"][table]["Keys"]) < len(keys)
    assert made.count(Fault.UNPROCESSED) == 2


def test_a_batch_of_one_is_never_left_whole() -> None:
    """ "If none of the items can be processed … BatchWriteItem returns a ProvisionedThroughputExceeded-
    Exception" (API_BatchWriteItem): so at least one is processed, also over several tables."""
    dice = Dice(FaultPlan(1), Counters())
    assert split({"a": [1]}, dice) == ({"a": [1]}, {})
    for _ in range(50):
        kept, left = split({"a": [1, 2], "b": {"Keys": [3, 4, 5], "ConsistentRead": True}}, dice)
        counts = [
            sum(len(each["Keys"] if isinstance(each, dict) else each) for each in part.values())
            for part in (kept, left)
        ]
        assert sum(counts) == 5
        assert min(counts) > 0
