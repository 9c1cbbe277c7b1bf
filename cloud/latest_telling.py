"""Tells the event bus of the changes that wait in latest items, and takes out those that it has taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol, cast

from cloud import keys, latest, link_change
from cloud.dynamo import ConditionError, Outcome, Patience, RefusedError, TransientError, attempt
from cloud.keys import Item
from cloud.latest import Latest
from cloud.link_change import Change
from edge_agent.contract import ContractError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

CLEARS = 3
"""Tries to remove a mark: one that stays tells of a change again."""


class Bus(Protocol):
    """What tells of changes."""

    def tell(
        self, changes: Sequence[Change], states: Mapping[str, Latest], remains: Callable[[], bool]
    ) -> set[str]:
        """Tell of changes, with the states of their gateways, as long as time remains; raises nothing.

        Returns the ids of those that it has taken.
        """


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of bringing states up to date."""

    outcome: Outcome = field(default_factory=Outcome)
    _lock: Lock = field(default_factory=Lock, compare=False, repr=False)
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(
            ("Changes", "ChangesWaiting", "ChangesDropped", "LatestUnreadable", "LatestLeftOut"), 0
        )
    )
    """Metrics: changes of link states told, still waiting, and given up since too many waited; states that
    could not be read and were begun anew; series that did not fit."""

    def count(self, name: str, number: int) -> None:
        """Add to a metric, from any thread."""
        with self._lock:
            self.counts[name] += number


class Teller:
    """The way from the latest table to the bus."""

    def __init__(self, client: DynamoDBClient, table: str, bus: Bus) -> None:
        # Requests are built as plain values, so the client's request types do not apply.
        self._client = cast(Any, client)
        self._table = table
        self._bus = bus

    def tell(self, items: Iterable[Item], patience: Patience, taken: Taken) -> None:
        """Tell of the changes that wait in items, and remove the marks of those that the bus has taken."""
        changes: dict[str, tuple[Change, ...]] = {}
        states: dict[str, Latest] = {}
        marks: dict[str, Item] = {}
        for item in items:
            with suppress(ContractError):
                state = latest.parse(item)
                states[state.gateway], changes[state.gateway] = state, state.changes
                marks[state.gateway] = item[keys.CHANGES]
        if not changes:
            return
        told = self._bus.tell(
            [each for waiting in changes.values() for each in waiting], states, patience.remains
        )
        for gateway, waiting in changes.items():
            left = [each for each in waiting if each.id not in told]
            taken.count("Changes", len(waiting) - len(left))
            taken.count("ChangesWaiting", len(left))
            if len(left) < len(waiting):
                self._clear(gateway, marks[gateway], link_change.pack_all(left))

    def _clear(self, gateway: str, mark: Item, left: bytes) -> None:
        request: dict[str, Any] = {
            "TableName": self._table,
            "Key": {keys.LATEST_KEY: {"S": gateway}},
            "UpdateExpression": "SET ev = :left" if left else "REMOVE ev",
            "ConditionExpression": "ev = :ev",
            "ExpressionAttributeValues": {":ev": mark, **({":left": {"B": left}} if left else {})},
        }
        for _ in range(CLEARS):
            try:
                attempt(lambda: self._client.update_item(**request))
                return
            except (ConditionError, RefusedError):
                return  # somebody else has told of them, or the gateway is gone
            except TransientError:
                continue
