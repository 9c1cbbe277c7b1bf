"""A fleet for the ingest function: minutes of many gateways, and tables that take everything at once."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cloud.dynamo import Patience
from cloud.ingest import COLLECT_AFTER, Pipeline
from cloud.keys import DAY_MS
from cloud.latest import Latest
from cloud.latest_store import LatestStore
from cloud.link_change import Change
from cloud.registry import Registry
from cloud.settings import Settings
from cloud.store import Store
from edge_agent.contract import Batch, describe_reading
from tests.cloud.records import NOW, envelope, fleet_batch, record, records

GATEWAYS, LINKS, ROUNDS = 200, 10, 6
"""As many gateways as the mapping hands over records (infrastructure/template.yaml, BatchSize)."""
READINGS = GATEWAYS * LINKS * ROUNDS
"""Of one minute of all gateways: a reading of each link every 10 s, a batch a minute."""
MINUTE_MS = 60_000
SETTINGS = Settings("bench", "readings", "latest", "registry", "quarantine", False, 30)
PATIENCE = Patience(lambda: 60.0, lambda _: None, lambda: 0.5)


class Minutes:
    """The fleet's minutes in turn: what each brings is new, as in production."""

    def __init__(self, count: int) -> None:
        self.batches = [[_batch(gateway, number) for gateway in range(GATEWAYS)] for number in range(count)]
        self._events = [
            (records(*(envelope(each, rx=_received_ms(number)) for each in batches)), _received_ms(number))
            for number, batches in enumerate(self.batches)
        ]
        self._next = iter(self._events)
        # No function has so many minutes in memory: the collector must not count them as its own.
        gc.collect()
        gc.freeze()

    def run(self, pipeline: Pipeline) -> None:
        """Let a pipeline take in the next minute."""
        event, now_ms = next(self._next)
        assert pipeline.run(event, PATIENCE, now_ms) == {"batchItemFailures": []}

    def messages(self) -> list[dict[str, Any]]:
        """The first minute as the usual design sends it: a record of JSON for each reading."""
        return [record(each, number) for number, each in enumerate(_messages(self.batches[0]))]


def _batch(gateway: int, minute: int) -> Batch:
    made = fleet_batch(f"gw-{gateway:04d}", _received_ms(minute) - MINUTE_MS, LINKS, ROUNDS, seed=gateway)
    return replace(made, first_sequence=minute * len(made.readings))


def _received_ms(minute: int) -> int:
    return NOW + minute * MINUTE_MS


def _messages(batches: Sequence[Batch]) -> Iterator[bytes]:
    for batch in batches:
        for reading in batch.readings:
            yield json.dumps({"gateway": batch.gateway, **describe_reading(reading)}).encode()


class Tables:
    """A DynamoDB that takes everything at once, so that only our own work is counted; keeps latest states."""

    def __init__(self) -> None:
        self._latest: dict[str, Any] = {}

    def batch_write_item(self, **_request: Any) -> dict[str, Any]:
        return {"UnprocessedItems": {}}

    def put_item(self, TableName: str, Item: Any, **_request: Any) -> dict[str, Any]:
        if TableName == SETTINGS.latest_table:
            self._latest[Item["gateway"]["S"]] = Item
        return {}

    def update_item(self, Key: Any, **_request: Any) -> dict[str, Any]:
        """The one that is asked for: changes have been told."""
        self._latest[Key["gateway"]["S"]].pop("ev", None)
        return {}

    def batch_get_item(self, RequestItems: Any) -> dict[str, Any]:
        asked = RequestItems.get(SETTINGS.latest_table, {"Keys": ()})["Keys"]
        names = [key["gateway"]["S"] for key in asked]
        found = [self._latest[name] for name in names if name in self._latest]
        return {"Responses": {SETTINGS.latest_table: found}, "UnprocessedKeys": {}}


class Bus:
    """An event bus that takes everything."""

    def tell(
        self, changes: Sequence[Change], states: Mapping[str, Latest], remains: Callable[[], bool]
    ) -> set[str]:
        return {change.id for change in changes}


def pipeline_on(client: Any, workers: int) -> Pipeline:
    """The ingest function's parts on a client, with its collector: the peer beside it has the same."""
    gc.set_threshold(COLLECT_AFTER)
    registry = Registry(client, SETTINGS.registry_table, lambda: 0.0)
    states = LatestStore(client, SETTINGS.latest_table, registry, Bus(), 7 * DAY_MS, workers)
    return Pipeline(SETTINGS, Store(client), registry, states, lambda _line: None, lambda: "token")


def whole_messages(batches: Sequence[Batch]) -> list[dict[str, Any]]:
    """Records of JSON with all readings of a batch each: what the usual design saves first."""
    return [
        record(json.dumps({"readings": [json.loads(each) for each in _messages([batch])]}).encode(), number)
        for number, batch in enumerate(batches)
    ]
