"""The faults of `local-cloud up --faults` around a function that runs in this process: the same dice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ReadTimeoutError

from infrastructure.local.faults import Dice, Fault
from infrastructure.local.faults_dynamodb import BATCHES, SERVER_ERROR, THROTTLED, split
from infrastructure.local.faults_function import Fates
from infrastructure.local.function.invocation import Outcome
from tests.benchmarks.exactness_tables import Tables, error

_OPERATIONS = {"batch_write_item": "BatchWriteItem", "batch_get_item": "BatchGetItem"}


class Ended(BaseException):
    """The process has ended here: nothing that it would do as well may catch this."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class FaultyClient:
    """A client of the tables for one invocation after another; it throttles, errs, and ends its caller."""

    def __init__(self, tables: Tables, dice: Dice, between: Callable[[], None] = lambda: None) -> None:
        """``between`` is called before each call: what others do meanwhile."""
        self.fates = Fates(dice)
        self.request_id = ""
        self._between = between
        self._tables = tables
        self._dice = dice

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(**request: Any) -> Any:
            self._between()
            blow = self.fates.call(self.request_id)
            if blow and not blow.after:
                raise Ended(blow.outcome)
            answer = self._answer(operation, request)
            if blow:
                raise Ended(blow.outcome)
            return answer

        return call

    def _answer(self, operation: str, request: dict[str, Any]) -> Any:
        act = getattr(self._tables, operation)
        if self._dice.falls(Fault.THROTTLED):
            raise error(operation, THROTTLED)
        if self._dice.falls(Fault.SERVER_ERROR):
            if self._dice.below(2):
                act(**request)
            raise error(operation, SERVER_ERROR)
        if self._dice.falls(Fault.ANSWER_LOST):
            act(**request)
            raise ReadTimeoutError(endpoint_url="memory")
        named = _OPERATIONS.get(operation)
        if named and self._dice.threatens(Fault.UNPROCESSED):
            kept, left = split(request["RequestItems"], self._dice)
            if left:
                self._dice.count(Fault.UNPROCESSED)
                return {**act(RequestItems=kept), BATCHES[named]: left}
        return act(**request)
