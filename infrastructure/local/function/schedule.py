"""EventBridge Scheduler's part: invokes a function by the schedule that is deployed.

Understood are rate expressions (EventBridge Scheduler user guide, "Schedule types"); a cron expression is an
error. The Scheduler delivers at least once, and a call that fails is given up after the retries that the
schedule allows; here each call is made once, which is what a schedule without retries gives.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from infrastructure.local.function.invocation import Counting, Function, NotInvokedError
from infrastructure.local.worker import Worker

log = logging.getLogger(__name__)

_RATE = re.compile(r"rate\((?P<value>[1-9][0-9]*) (?P<unit>minute|hour|day)(?P<plural>s?)\)")
_SECONDS = {"minute": 60, "hour": 3_600, "day": 86_400}


class ScheduleError(Exception):
    """The schedule says something that is not understood here; the message says what."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When which function is invoked with what."""

    name: str
    function_arn: str
    every_s: float
    event: Mapping[str, Any]


def interval_s(expression: str) -> float:
    """Seconds between two calls (user guide, "Rate expressions reference": one minute, but two minutes)."""
    match = _RATE.fullmatch(expression)
    if match is None:
        raise ScheduleError(f"{expression!r} is not understood: only rate(N minutes|hours|days) is")
    value = int(match["value"])
    if (value == 1) == bool(match["plural"]):
        raise ScheduleError(f"{expression!r}: 1 has a unit in the singular, more have one in the plural")
    return float(value * _SECONDS[match["unit"]])


def parse(answer: Mapping[str, Any]) -> Schedule:
    """A schedule from the answer of GetSchedule; raises ScheduleError for what is not understood."""
    name, target = answer["Name"], answer["Target"]
    if answer.get("FlexibleTimeWindow", {}).get("Mode", "OFF") != "OFF":
        raise ScheduleError(f"schedule {name}: a flexible time window is not understood")
    if ":function:" not in target["Arn"]:
        raise ScheduleError(f"schedule {name}: {target['Arn']} is not a function")
    if target.get("RetryPolicy", {}).get("MaximumRetryAttempts", 185) != 0:
        raise ScheduleError(f"schedule {name}: calls are not repeated here, MaximumRetryAttempts must be 0")
    try:
        event = json.loads(target.get("Input") or "{}")
    except ValueError as exc:
        raise ScheduleError(f"schedule {name}: its input is not JSON: {exc}") from exc
    return Schedule(name, target["Arn"], interval_s(answer["ScheduleExpression"]), event)


class Scheduler:
    """Invokes one function at its interval, the first time at once; a call never overlaps the next."""

    def __init__(
        self,
        schedule: Schedule,
        function: Function,
        counters: Counting,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        """``wait`` waits for some seconds and says whether the scheduler is to stop."""
        self._schedule = schedule
        self._function = function
        self._counters = counters
        self._stopping = threading.Event()
        self._wait = wait or self._stopping.wait
        self._worker = Worker("schedule", self._run)

    def start(self) -> None:
        """Begin."""
        self._worker.start()

    def stop(self, timeout_s: float) -> bool:
        """Ask it to end and wait for the call under way; whether it has ended."""
        self._stopping.set()
        return self._worker.join(timeout_s)

    def failure(self) -> str:
        """What ended it; empty while it works."""
        return self._worker.failure()

    def _run(self) -> None:
        while True:
            self._invoke()
            if self._wait(self._schedule.every_s):
                return

    def _invoke(self) -> None:
        try:
            result = self._function.invoke(self._schedule.event)
        except NotInvokedError as exc:
            log.warning("schedule %s did not reach its function: %s", self._schedule.name, exc)
            self._counters.add("schedule.failed")
            return
        self._counters.add("schedule.invoked")
        if not result.succeeded:
            self._counters.add("schedule.failed")
            log.warning("schedule %s: %s: %s", self._schedule.name, result.error_type, result.message)
