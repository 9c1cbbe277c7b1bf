"""The stream's envelopes: from a Kinesis record of the Lambda event to a batch with its identity (pure)."""

from __future__ import annotations

import binascii
import json
from typing import Any, NamedTuple

from cloud.keys import DIRECT, MAX_MS, MIN_MS
from cloud.poison import NAME_LENGTH, Position, Rejected
from edge_agent.contract import Batch, ContractError, Sealed, unseal

MAX_PAYLOAD = 131_072
"""Bytes that AWS IoT Core takes as one message (its quota of 128 KB)."""


class Envelope(NamedTuple):
    """What the rule says about a payload; nothing inside the payload can pose as a field of it."""

    position: Position
    thing: str
    """Second topic level: who may have sent it according to the policy."""
    client: str | None
    """MQTT client id; None for a direct record."""
    rx_ms: int
    """When the rule saw it, ms since 1970; differs between deliveries of one message."""
    direct: bool
    """Put into the stream past the rule."""
    payload: bytes


class Arrival(NamedTuple):
    """A batch that has arrived, with its envelope."""

    envelope: Envelope
    sealed: Sealed
    """Its content by columns."""

    @property
    def batch(self) -> Batch:
        """Its content with an object for each reading, made when somebody asks."""
        return self.sealed.batch

    @property
    def first_ms(self) -> int:
        """Time of its earliest reading, ms."""
        return self.sealed.first_ms

    @property
    def last_ms(self) -> int:
        """Time of its latest reading, ms."""
        return self.sealed.last_ms


def locate(record: object, now_ms: int) -> tuple[Position, bytes]:
    """Where a record of the event is in the stream, and its data as sent; takes anything, never raises."""
    kinesis = _get(record, "kinesis")
    shard, _, _ = _text(_get(record, "eventID")).partition(":")
    arrived = _get(kinesis, "approximateArrivalTimestamp")
    known = isinstance(arrived, int | float) and 0 < arrived * 1000 <= MAX_MS
    position = Position(
        _ascii(shard),
        _ascii(_text(_get(kinesis, "sequenceNumber"))),
        int(arrived * 1000) if known else now_ms,
    )
    return position, _text(_get(kinesis, "data")).encode(errors="replace")


def unpack(data: bytes) -> bytes:
    """What the producer put into the stream; raises Rejected when the data are not base64."""
    return _bytes(data, "the record")


def unwrap(position: Position, record: bytes) -> Envelope:
    """The envelope in a record; raises Rejected when it is not one."""
    try:
        given = json.loads(record.decode())
    except (ValueError, RecursionError) as exc:
        raise Rejected("envelope", "the record is not JSON") from exc
    if not isinstance(given, dict):
        raise Rejected("envelope", "the record is not a JSON object")
    source = given.get("source")
    if source not in (None, DIRECT):
        raise Rejected("envelope", f"unknown source {source!r}")
    return Envelope(
        position,
        thing=_string(given, "thing"),
        client=None if source == DIRECT and "client" not in given else _string(given, "client"),
        rx_ms=_time(given, "rx"),
        direct=source == DIRECT,
        payload=_bytes(_string(given, "b"), "field b"),
    )


def decode(envelope: Envelope) -> Arrival:
    """The batch in an envelope; raises Rejected when the payload does not keep the contract."""
    if len(envelope.payload) > MAX_PAYLOAD:
        raise Rejected("contract", f"the payload has {len(envelope.payload)} B, more than {MAX_PAYLOAD}")
    try:
        return Arrival(envelope, unseal(envelope.payload))
    except ContractError as exc:
        raise Rejected("contract", str(exc)) from exc


def _get(given: object, name: str) -> Any:
    return given.get(name) if isinstance(given, dict) else None


def _text(given: object) -> str:
    return given if isinstance(given, str) else ""


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()[:NAME_LENGTH]


def _bytes(data: bytes | str, what: str) -> bytes:
    try:
        return binascii.a2b_base64(data, strict_mode=True)
    except ValueError as exc:  # binascii.Error is one, and what is not ASCII raises another
        raise Rejected("envelope", f"{what} is not base64") from exc


def _string(given: dict[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str):
        raise Rejected("envelope", f"field {name} is missing or not a text")
    return value


def _time(given: dict[str, Any], name: str) -> int:
    value = given.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not MIN_MS <= value <= MAX_MS:
        raise Rejected("envelope", f"field {name} is not a time in ms since 1970")
    return value
