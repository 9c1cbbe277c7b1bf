"""The ingest function beside the usual one: a JSON message and an item for each reading."""

from __future__ import annotations

import base64
import json
from typing import Any

from cloud.announce import EventBus
from cloud.dynamo import Patience
from cloud.ingest import Pipeline
from cloud.keys import DAY_MS
from cloud.latest_store import LatestStore
from cloud.registry import Registry
from cloud.settings import Settings
from cloud.store import Store
from edge_agent.contract import Batch, describe_reading
from tests.benchmarks.paired import Row, rates
from tests.cloud.records import NOW, envelope, fleet_batch, records

BATCHES = 50
SETTINGS = Settings("bench", "readings", "latest", "registry", "quarantine", False, 30)
PATIENCE = Patience(lambda: 60.0, lambda _: None, lambda: 0.5)


class Sink:
    """A DynamoDB that takes everything at once, so that only our own work is counted."""

    def batch_write_item(self, **_request: Any) -> dict[str, Any]:
        return {"UnprocessedItems": {}}

    def put_item(self, **_request: Any) -> dict[str, Any]:
        return {}

    def batch_get_item(self, **_request: Any) -> dict[str, Any]:
        return {"Responses": {}, "UnprocessedKeys": {}}


def naive(messages: list[bytes], sink: Sink) -> None:
    """Decode each message, check it is complete, and write it as an item, 25 a request."""
    items = []
    for message in messages:
        reading = json.loads(base64.b64decode(message))
        key = {
            "p": {"S": f"{reading.pop('gateway')}#{reading.pop('link')}"},
            "s": {"N": str(reading.pop("at_ms"))},
        }
        columns = {name: {"N": str(value)} for name, value in reading.items() if isinstance(value, int)}
        items.append({"PutRequest": {"Item": key | columns}})
    for at in range(0, len(items), 25):
        sink.batch_write_item(RequestItems={"readings": items[at : at + 25]})


def rows() -> list[Row]:
    """Readings a second of CPU time from the stream's records to built writes."""
    batches = [fleet_batch(f"gw-{number:04d}", NOW - 60_000, seed=number) for number in range(BATCHES)]
    given = records(*map(envelope, batches))
    messages = [message for batch in batches for message in _messages(batch)]
    sink: Any = Sink()
    registry = Registry(sink, "registry", lambda: 0.0)
    states = LatestStore(sink, "latest", registry, EventBus("bench"), 7 * DAY_MS, workers=1)
    pipeline = Pipeline(SETTINGS, Store(sink), registry, states, lambda _: None)

    def ours() -> None:
        assert pipeline.run(given, PATIENCE, NOW) == {"batchItemFailures": []}

    pair = rates(ours, lambda: naive(messages, sink), len(messages), repeats=5)
    return [Row("ingest, record to writes", "readings/s", *pair, "json, item a reading")]


def _messages(batch: Batch) -> list[bytes]:
    rows = ({"gateway": batch.gateway, **describe_reading(reading)} for reading in batch.readings)
    return [base64.b64encode(json.dumps(row).encode()) for row in rows]
