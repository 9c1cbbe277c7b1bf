"""What a function is to its caller: something that takes an event and gives back a result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol


class Outcome(Enum):
    """How an invocation ended."""

    SUCCESS = "success"
    ERROR = "error"
    """The function, or its import, raised."""
    TIMED_OUT = "timed out"
    CRASHED = "crashed"
    """Its process ended without an answer."""


@dataclass(frozen=True, slots=True)
class Result:
    """The end of one invocation: a payload, or an error's type and message."""

    outcome: Outcome
    request_id: str
    payload: Any = None
    """The JSON value that the handler returned; None for every other outcome."""
    error_type: str = ""
    message: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether the function returned, whatever it returned."""
        return self.outcome is Outcome.SUCCESS


class NotInvokedError(Exception):
    """The function was not reached: it may be called again, and this is no failure of its own."""


class Function(Protocol):
    """Something that can be invoked, from several threads at a time."""

    def invoke(self, event: Mapping[str, Any]) -> Result:
        """Hand over one event and wait for its end. Raises NotInvokedError."""


class Counting(Protocol):
    """Where events are counted; state.Counters is one."""

    def add(self, name: str, n: int = 1) -> None:
        """Add n to the counter of that name."""
