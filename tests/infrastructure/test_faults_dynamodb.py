"""The proxy before DynamoDB, between real clients and a real engine, and functions killed while they work."""

from __future__ import annotations

import textwrap
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infrastructure.local.faults import Dice, Fault, FaultPlan
from infrastructure.local.faults_dynamodb import FaultyDynamoDB, split
from infrastructure.local.faults_function import Blow, Fates
from infrastructure.local.function.invocation import Outcome
from infrastructure.local.function.runtime import LambdaRuntime
from infrastructure.local.function.runtime_api import request_of, trace_id
from infrastructure.local.state import Counters
from tests.infrastructure.parts import Engine, gone

NEVER = dict.fromkeys(Fault, 0.0)
HANDLER = """
    import botocore.session

    CLIENT = botocore.session.get_session().create_client("dynamodb")

    def handler(event, context):
        for number in range(3):
            item = {"p": {"S": event["name"]}, "n": {"N": str(number)}}
            CLIENT.put_item(TableName=event["table"], Item=item)
        return "done"
    """


@pytest.fixture
def table(running_engine: Engine) -> str:
    name = f"t-{uuid.uuid4().hex[:8]}"
    running_engine.clients.dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}, {"AttributeName": "n", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "p", "AttributeType": "S"},
            {"AttributeName": "n", "AttributeType": "N"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


class Bench:
    """A proxy before the engine with one fault, and what it has counted."""

    def __init__(self, engine: Engine, fault: Fault, rate: float) -> None:
        self.counters = Counters()
        self.dice = Dice(FaultPlan(3, NEVER | {fault: rate}), self.counters)
        self.fates = Fates(self.dice)
        self.runtimes: list[LambdaRuntime] = []
        self.proxy = FaultyDynamoDB(engine.url, self.dice, self.fates, self._strike)

    def _strike(self, request_id: str, outcome: Outcome) -> None:
        for runtime in self.runtimes:
            runtime.strike(request_id, outcome)

    def client(self) -> Any:
        return client_of(self.proxy)

    def count(self, fault: Fault) -> int:
        return self.counters.snapshot().get(f"fault.{fault}", 0)


def client_of(proxy: FaultyDynamoDB) -> Any:
    """A real client that tries each call once."""
    config = Config(retries={"total_max_attempts": 1}, proxies={})
    return boto3.Session("local", "local", region_name="us-east-1").client(
        "dynamodb", endpoint_url=proxy.url, config=config
    )


@contextmanager
def bench(engine: Engine, fault: Fault, rate: float) -> Iterator[Bench]:
    made = Bench(engine, fault, rate)
    made.proxy.start()
    try:
        yield made
    finally:
        made.proxy.stop()


def put(client: Any, table: str, number: int) -> None:
    client.put_item(TableName=table, Item={"p": {"S": "p"}, "n": {"N": str(number)}})


def stored(engine: Engine, table: str, name: str = "p") -> list[int]:
    answer = engine.clients.dynamodb.query(
        TableName=table,
        KeyConditionExpression="p = :p",
        ExpressionAttributeValues={":p": {"S": name}},
        ConsistentRead=True,
    )
    return [int(item["n"]["N"]) for item in answer["Items"]]


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


def test_a_trace_id_tells_the_invocation() -> None:
    """Form of an X-Ray trace id: "Root=1-" and 8 and 24 hexadecimal digits (X-Ray developer guide)."""
    request = str(uuid.uuid4())
    assert request_of(trace_id(request)) == request
    assert [request_of(text) for text in ("", "Root=1-5759e988-bd862e3fe1be46a994272793", "x")] == [
        "",
        "",
        "",
    ]


@pytest.mark.parametrize("after", [False, True])
def test_an_invocation_that_ends_at_a_call_gets_no_answer_and_the_call_its_effect_only_after(
    running_engine: Engine, table: str, after: bool
) -> None:
    request, ended = str(uuid.uuid4()), []

    class Fixed:
        def call(self, request_id: str) -> Blow:
            assert request_id == request
            return Blow(Outcome.CRASHED, after)

    fates: Any = Fixed()
    dice = Dice(FaultPlan(1, NEVER), Counters())
    proxy = FaultyDynamoDB(running_engine.url, dice, fates, lambda *told: ended.append(told))
    client = client_of(proxy)
    client.meta.events.register(
        "before-call.dynamodb",
        lambda params, **_: params["headers"].update({"X-Amzn-Trace-Id": trace_id(request)}),
    )
    proxy.start()
    try:
        with pytest.raises(BotoCoreError):
            put(client, table, 1)
    finally:
        proxy.stop()
    assert ended == [(request, Outcome.CRASHED)]
    assert stored(running_engine, table) == ([1] if after else [])


@pytest.fixture
def runtime_of(tmp_path: Path, table: str) -> Iterator[Callable[[Bench], LambdaRuntime]]:
    """Starts the real runtime client with a handler that writes three items through a proxy."""
    started = []
    (tmp_path / "app.py").write_text(textwrap.dedent(HANDLER))

    def start(made: Bench) -> LambdaRuntime:
        runtime = LambdaRuntime(
            tmp_path,
            "app.handler",
            {"AWS_ENDPOINT_URL_DYNAMODB": made.proxy.url},
            60.0,
            tmp_path / "function.log",
            made.counters,
            interruptions=made.fates,
        )
        runtime.start()
        made.runtimes.append(runtime)
        started.append(runtime)
        return runtime

    yield start
    for runtime in started:
        runtime.stop()


@pytest.mark.parametrize(
    ("fault", "outcome"), [(Fault.CRASH, Outcome.CRASHED), (Fault.TIMEOUT, Outcome.TIMED_OUT)]
)
def test_a_function_is_ended_between_any_two_of_its_calls(
    running_engine: Engine,
    table: str,
    runtime_of: Callable[[Bench], LambdaRuntime],
    fault: Fault,
    outcome: Outcome,
) -> None:
    """Its process is gone, what it had written stays, and the next event gets another process."""
    written = set()
    with bench(running_engine, fault, 1.0) as made:
        runtime = runtime_of(made)
        for number in range(8):
            before = runtime.pids
            result = runtime.invoke({"table": table, "name": f"run-{number}"})
            assert result.outcome is outcome
            assert all(gone(pid) for pid in before if pid not in runtime.pids)
            written.add(len(stored(running_engine, table, f"run-{number}")))
        assert made.count(fault) == 8
    assert len(written) > 1


def test_a_function_with_no_fate_answers(
    running_engine: Engine, table: str, runtime_of: Callable[[Bench], LambdaRuntime]
) -> None:
    with bench(running_engine, Fault.CRASH, 0.0) as made:
        result = runtime_of(made).invoke({"table": table, "name": "p"})
    assert (result.outcome, result.payload) == (Outcome.SUCCESS, "done")
    assert stored(running_engine, table) == [0, 1, 2]
