"""Functions that are throttled, called again, killed or ended by their time limit while they work.

An invocation is known by its request id, which reaches every service that the function calls: the runtime
client puts the trace id of the invocation into the environment and the AWS SDK sends it as X-Amzn-Trace-Id.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infrastructure.local.faults import Dice, Fault
from infrastructure.local.function.invocation import Function, NotInvokedError, Outcome, Result

REMEMBERED = 50
"""Events that may be handed over once more, and invocations whose last calls may still be on their way."""
FIRST_GUESS = 4
"""Calls that an invocation makes, before one has been seen."""
ENDINGS = {Fault.CRASH: Outcome.CRASHED, Fault.TIMEOUT: Outcome.TIMED_OUT}


@dataclass(slots=True)
class _Fate:
    """What is going to happen to one invocation."""

    fault: Fault | None
    at_call: int
    """Before or after which of its calls, counted from 0; beyond the last one it is before the answer."""
    after: bool
    calls: int = 0


@dataclass(frozen=True, slots=True)
class Blow:
    """How an invocation ends at this call."""

    outcome: Outcome
    after: bool
    """Whether the call still takes effect; its answer never arrives."""


class Fates:
    """Decides for each invocation whether and between which of its calls it ends."""

    def __init__(self, dice: Dice) -> None:
        self._dice = dice
        self._lock = threading.Lock()
        self._fates: dict[str, _Fate] = {}
        self._ended: deque[str] = deque(maxlen=REMEMBERED)
        self._usual_calls = FIRST_GUESS

    def call(self, request_id: str) -> Blow | None:
        """The function makes a call; how it ends there, None when it goes on."""
        with self._lock:
            if request_id in self._ended:
                return None  # sent before its process was killed
            fate = self._fates.get(request_id)
            if fate is None:
                fate = self._fates[request_id] = self._draw()
            place, fate.calls = fate.calls, fate.calls + 1
            if fate.fault is None or fate.at_call != place:
                return None
            return Blow(self._strike(fate), fate.after)

    def end(self, request_id: str, succeeded: bool) -> Outcome | None:
        """The invocation has ended; how it ends instead, None when its answer counts."""
        with self._lock:
            self._ended.append(request_id)
            fate = self._fates.pop(request_id, None)
            if fate is None:
                return None  # it has called nothing
            self._usual_calls = max(fate.calls, self._usual_calls - 1)
            return self._strike(fate) if fate.fault and succeeded else None

    def _draw(self) -> _Fate:
        due = next((fault for fault in ENDINGS if self._dice.threatens(fault)), None)
        at_call = self._dice.below(self._usual_calls + 1)
        return _Fate(due, at_call, after=bool(self._dice.below(2)))

    def _strike(self, fate: _Fate) -> Outcome:
        assert fate.fault is not None
        fault, fate.fault = fate.fault, None
        self._dice.count(fault)
        return ENDINGS[fault]


class FaultyFunction:
    """A function as a mapping meets it under faults: not always reached, and sometimes called once too often.

    "Lambda event source mappings process each event at least once, and duplicate processing of records can
    occur" (https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html).
    """

    def __init__(self, function: Function, dice: Dice) -> None:
        self._function = function
        self._dice = dice
        self._lock = threading.Lock()
        self._events: deque[Mapping[str, Any]] = deque(maxlen=REMEMBERED)

    def invoke(self, event: Mapping[str, Any]) -> Result:
        """Hand over the event, now and then after an older one; raises NotInvokedError."""
        if self._dice.falls(Fault.REFUSED):
            raise NotInvokedError("throttled: rate exceeded")
        with self._lock:
            self._events.append(event)
            older = self._events[self._dice.below(len(self._events))]
        result = self._function.invoke(event)
        if self._dice.falls(Fault.REPEATED):
            self._function.invoke(older)
        return result
