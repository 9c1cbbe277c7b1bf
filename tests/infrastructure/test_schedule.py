"""The schedule that is deployed invokes its function, as EventBridge Scheduler would.

EventBridge Scheduler user guide, "Schedule types" and "Rate expressions reference".
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from infrastructure.local.function.invocation import NotInvokedError, Outcome, Result
from infrastructure.local.function.schedule import Schedule, ScheduleError, Scheduler, interval_s, parse
from infrastructure.local.state import Counters

ARN = "arn:aws:lambda:us-east-1:000000000000:function:rollup"
TARGET = {"Arn": ARN, "RoleArn": "r", "Input": '{"segment": 1}', "RetryPolicy": {"MaximumRetryAttempts": 0}}
ANSWER = {"Name": "s", "ScheduleExpression": "rate(5 minutes)", "Target": TARGET}


class Called:
    """A function that remembers what it was called with and answers by turns."""

    def __init__(self, *answers: Result | Exception) -> None:
        self.events: list[Mapping[str, Any]] = []
        self._answers = iter(answers)

    def invoke(self, event: Mapping[str, Any]) -> Result:
        self.events.append(event)
        answer = next(self._answers, Result(Outcome.SUCCESS, "id"))
        if isinstance(answer, Exception):
            raise answer
        return answer


def after(turns: int, waited: list[float]) -> Callable[[float], bool]:
    """A wait that ends at once, and the scheduler with its last turn."""

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        return len(waited) >= turns

    return wait


def run(function: Called, turns: int) -> tuple[list[float], Counters]:
    waited: list[float] = []
    counters = Counters()
    scheduler = Scheduler(parse(ANSWER), function, counters, after(turns, waited))
    scheduler.start()
    assert scheduler.stop(10.0)
    assert scheduler.failure() == ""
    return waited, counters


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [("rate(1 minute)", 60), ("rate(5 minutes)", 300), ("rate(1 hour)", 3600), ("rate(2 days)", 172800)],
)
def test_a_rate_is_a_value_and_a_unit(expression: str, seconds: float) -> None:
    assert interval_s(expression) == seconds


@pytest.mark.parametrize(
    "expression",
    [
        "rate(1 minutes)",
        "rate(5 minute)",
        "rate(0 minutes)",
        "rate(5 seconds)",
        "cron(0 8 * * ? *)",
        "at(x)",
        "",
    ],
)
def test_what_is_no_rate_is_an_error(expression: str) -> None:
    # "rate(1 hours) and rate(5 hour) aren't valid, but rate(1 hour) and rate(5 hours) are valid."
    with pytest.raises(ScheduleError):
        interval_s(expression)


def test_a_schedule_is_read_with_its_target_and_its_input() -> None:
    assert parse(ANSWER) == Schedule("s", ARN, 300.0, {"segment": 1})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}}, "flexible time window"),
        ({"Target": {**TARGET, "Arn": "arn:aws:sqs:us-east-1:0:q"}}, "is not a function"),
        ({"Target": {**TARGET, "RetryPolicy": {}}}, "MaximumRetryAttempts must be 0"),
        ({"Target": {**TARGET, "Input": "{"}}, "its input is not JSON"),
        ({"ScheduleExpression": "cron(0 8 * * ? *)"}, "only rate"),
    ],
)
def test_what_is_not_understood_is_an_error_that_names_it(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ScheduleError, match=named):
        parse({**ANSWER, **change})


def test_the_function_is_called_with_the_input_at_the_interval() -> None:
    function = Called()
    waited, counters = run(function, 3)
    assert function.events == [{"segment": 1}] * 3
    assert waited == [300.0] * 3
    assert counters.snapshot() == {"schedule.invoked": 3}


def test_a_call_that_fails_is_counted_and_the_next_one_comes() -> None:
    failed = Result(Outcome.TIMED_OUT, "id", error_type="Sandbox.Timedout", message="too long")
    function = Called(failed, NotInvokedError("stopped"))
    _, counters = run(function, 3)
    assert counters.snapshot() == {"schedule.invoked": 2, "schedule.failed": 2}


def test_stopping_ends_the_wait() -> None:
    called = threading.Event()

    class Once(Called):
        def invoke(self, event: Mapping[str, Any]) -> Result:
            called.set()
            return super().invoke(event)

    scheduler = Scheduler(parse(ANSWER), Once(), Counters())
    scheduler.start()
    assert called.wait(10.0)
    assert scheduler.stop(10.0)
