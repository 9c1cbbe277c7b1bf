"""DynamoDB as the ingest function needs it: three outcomes instead of fifty errors, and bounded retries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, cast

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

T = TypeVar("T")

CONNECT_S, READ_S, ATTEMPTS = 2, 4, 2
CALL_S = 15
"""No call takes longer: ATTEMPTS times connect and read, and the pause between."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0
_REFUSALS = frozenset(
    {"ValidationException", "SerializationException", "ItemCollectionSizeLimitExceededException"}
)


class TransientError(Exception):
    """It did not work now (throttled, 5xx, no answer, no permission yet) and is worth another try."""


class RefusedError(Exception):
    """DynamoDB will never take this request: its content is at fault."""


class ConditionError(Exception):
    """The condition of a write does not hold."""


@dataclass(slots=True)
class Outcome:
    """What did not land, by the sequence number of the stream's record that it came from, with the reason."""

    failed: dict[str, str] = field(default_factory=dict)
    """Worth another try."""
    refused: dict[str, str] = field(default_factory=dict)
    """Never to be taken."""

    def add(self, other: Outcome) -> None:
        """Take over what another step says; the first reason for a record stays."""
        self.failed = other.failed | self.failed
        self.refused = other.refused | self.refused


def connect() -> DynamoDBClient:
    """botocore's client with short limits of its own, so that a function can keep to its time.

    The ingest function has one that costs less (cloud/dynamo_http.py), and must not load this one.
    """
    import botocore.session
    from botocore.config import Config

    config = Config(
        connect_timeout=CONNECT_S,
        read_timeout=READ_S,
        retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
        # A quarter of what a call costs: both are made anew for each, and DynamoDB checks the rest itself.
        user_agent="linkpulse",
        parameter_validation=False,
    )
    # botocore alone: boto3 adds import time and nothing that is used here.
    return cast("DynamoDBClient", botocore.session.get_session().create_client("dynamodb", config=config))


def attempt(call: Callable[[], T]) -> T:
    """The result of one call, its botocore errors translated to the three of this module."""
    try:
        return call()
    except ClientError as exc:
        error = exc.response.get("Error", {})
        code = str(error.get("Code", ""))
        if code == "ConditionalCheckFailedException":
            raise ConditionError(code) from exc
        if code in _REFUSALS:
            raise RefusedError(f"{code}: {error.get('Message', '')}") from exc
        # A missing table or permission is ours to repair, never the record's fault: try again.
        raise TransientError(f"{exc.operation_name}: {code}") from exc
    except ParamValidationError as exc:
        raise RefusedError(str(exc)) from exc
    except BotoCoreError as exc:
        raise TransientError(str(exc)) from exc


class Patience:
    """When to try again and when to give up: full jitter, within the time that is left.

    ``left_s`` tells the seconds until the function is ended; ``sleep`` and ``random`` (0 to 1) are
    arguments so that tests neither wait nor gamble.
    """

    def __init__(
        self,
        left_s: Callable[[], float],
        sleep: Callable[[float], None],
        random: Callable[[], float],
        reserve_s: float | None = None,
    ) -> None:
        self._left_s = left_s
        self._sleep = sleep
        self._random = random
        # A short time limit must not mean that nothing is ever tried.
        self._reserve_s = min(CALL_S, left_s() / 2) if reserve_s is None else reserve_s

    def share(self, part: float) -> Patience:
        """Patience for a step that may use this part (0 to 1) of the time, so that later steps have some."""
        left_s = self._left_s()
        reserve_s = left_s - max(left_s - self._reserve_s, 0) * part
        return Patience(self._left_s, self._sleep, self._random, reserve_s)

    def remains(self) -> bool:
        """Whether one more call may start."""
        return self._left_s() > self._reserve_s

    def pause(self, tries: int) -> None:
        """Wait before the next try, longer after each (AWS: exponential back-off and jitter)."""
        limit = min(_FIRST_PAUSE_S * cast(int, 2 ** min(tries, 10)), _LONGEST_PAUSE_S)
        self._sleep(self._random() * min(limit, max(self._left_s() - self._reserve_s, 0)))

    def rounds(self, pending: list[T], once: Callable[[list[T]], list[T]]) -> list[T]:
        """Try all, then again what ``once`` returns as failed for now, while time remains; returns the rest.

        In rounds, so that one that keeps failing takes no time from the others.
        """
        tries = 0
        while pending and self.remains():
            pending = once(pending)
            if pending:
                self.pause(tries)
                tries += 1
        return pending
