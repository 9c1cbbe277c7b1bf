"""The usual ingest function: Powertools' BatchProcessor with a pydantic model, an item for each reading.

As in https://docs.aws.amazon.com/powertools/python/latest/utilities/batch/ ("Pydantic integration").
Attribute values are made by boto3's serializer, as its table resource makes them; making them by hand, which
few do, is a row of its own. The latest state is what such
designs have: the newest reading of each link in a table of its own, put without asking what is there. What
ours does beyond that, it does not: names of the registry, states of links, duplicates, late data.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Annotated, Any

os.environ.setdefault("POWERTOOLS_TRACE_DISABLED", "true")

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.parser.models import (
    KinesisDataStreamRecord,
    KinesisDataStreamRecordPayload,
)
from boto3.dynamodb.types import TypeSerializer
from pydantic import BaseModel, ConfigDict, Field, Json, create_model

from edge_agent.contract import GATEWAY_PATTERN, KINDS, LINK_PATTERN

WRITES_IN_BATCH = 25
KEPT_S = 30 * 86_400
"""Readings are kept for 30 days by DynamoDB's time to live, as ours."""
_SERIALIZER = TypeSerializer()
_COLUMNS = tuple(column.name for column in KINDS["echo"].columns)


class _Identity(BaseModel):
    """What each reading has."""

    model_config = ConfigDict(extra="forbid")

    gateway: str = Field(pattern=f"^{GATEWAY_PATTERN.pattern}$")
    link: str = Field(pattern=f"^{LINK_PATTERN.pattern}$")
    kind: str
    at_ms: int = Field(ge=0, lt=1 << 63)
    flags: list[str]
    outcome: str


_FIELDS: dict[str, Any] = {
    column.name: (Annotated[int, Field(ge=0, le=column.maximum)] | None, None)
    for column in KINDS["echo"].columns
}
Echo: Any = create_model("Echo", __base__=_Identity, **_FIELDS)
"""A reading of kind echo: the columns and limits of the contract."""


class _OnePayload(KinesisDataStreamRecordPayload):
    data: Json[Echo]


class One(KinesisDataStreamRecord):
    """A record with one reading."""

    kinesis: _OnePayload


class _Readings(BaseModel):
    readings: list[Echo]


class _SeveralPayload(KinesisDataStreamRecordPayload):
    data: Json[_Readings]


class Several(KinesisDataStreamRecord):
    """A record with several readings."""

    kinesis: _SeveralPayload


def serialized(reading: Any) -> dict[str, Any]:
    """The item of a reading, its attribute values made by boto3."""
    plain: dict[str, Any] = {
        "p": f"{reading.gateway}#{reading.link}",
        "s": reading.at_ms,
        "kind": reading.kind,
        "flags": reading.flags,
        "outcome": reading.outcome,
        "expires": reading.at_ms // 1000 + KEPT_S,
    }
    for name in _COLUMNS:
        value = getattr(reading, name)
        if value is not None:
            plain[name] = value
    return {name: _SERIALIZER.serialize(value) for name, value in plain.items()}


def by_hand(reading: Any) -> dict[str, Any]:
    """The same item, its attribute values written down."""
    item: dict[str, Any] = {
        "p": {"S": f"{reading.gateway}#{reading.link}"},
        "s": {"N": str(reading.at_ms)},
        "kind": {"S": reading.kind},
        "flags": {"SS": reading.flags},
        "outcome": {"S": reading.outcome},
        "expires": {"N": str(reading.at_ms // 1000 + KEPT_S)},
    }
    for name in _COLUMNS:
        value = getattr(reading, name)
        if value is not None:
            item[name] = {"N": str(value)}
    return item


def run(
    records: list[dict[str, Any]],
    client: Any,
    model: type[KinesisDataStreamRecord],
    item_of: Callable[[Any], dict[str, Any]] = serialized,
) -> dict[str, Any]:
    """One invocation with the records of an event; returns the partial batch response."""
    puts: list[dict[str, Any]] = []
    newest: dict[str, dict[str, Any]] = {}

    def keep(record: Any) -> None:
        data = record.kinesis.data
        for reading in data.readings if model is Several else [data]:
            item = item_of(reading)
            puts.append({"PutRequest": {"Item": item}})
            newest[item["p"]["S"]] = item  # a stream keeps the order of a gateway's readings

    processor = BatchProcessor(event_type=EventType.KinesisDataStreams, model=model)
    response = process_partial_response({"Records": records}, keep, processor)
    for table, requests in (("readings", puts), ("latest", [_latest(each) for each in newest.values()])):
        for at in range(0, len(requests), WRITES_IN_BATCH):
            client.batch_write_item(RequestItems={table: requests[at : at + WRITES_IN_BATCH]})
    return dict(response)


def _latest(item: dict[str, Any]) -> dict[str, Any]:
    """The put of a link's newest reading: its time is no part of the key."""
    return {"PutRequest": {"Item": {**item, "at_ms": item["s"], "s": {"S": "latest"}}}}
