"""Functions that are killed or stopped while they work, between two of their calls to DynamoDB."""

from __future__ import annotations

import textwrap
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError

from infrastructure.local.faults import Dice, Fault, FaultPlan
from infrastructure.local.faults_dynamodb import FaultyDynamoDB
from infrastructure.local.faults_function import Blow
from infrastructure.local.function.invocation import Outcome
from infrastructure.local.function.runtime import LambdaRuntime
from infrastructure.local.function.runtime_api import request_of, trace_id
from infrastructure.local.state import Counters
from tests.infrastructure.faulty import NEVER, Bench, bench, client_of, new_table, put, stored
from tests.infrastructure.parts import Engine, gone

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
    return new_table(running_engine)


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
