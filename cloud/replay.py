"""A quarantined record as a record of the stream again, as it was or repaired, and what becomes of it."""

from __future__ import annotations

import base64
import json

from cloud import sift
from cloud.keys import DIRECT
from cloud.poison import WHOLE, Poison, Quarantined
from cloud.stream import Entry

UNKNOWN = "replayed"
"""Partition key of a record of which nobody knows who sent it."""
_CLIENT_MATTERS = ("identity", "direct")


class ReplayError(Exception):
    """A record cannot be put back; the message says why and what can be done."""


def entry(record: Quarantined, repaired: bytes | None = None) -> Entry:
    """The record for the stream, ``repaired`` in place of its payload; raises ReplayError.

    Its envelope says what the first one said, reception time included: whatever was to be rejected
    because of who sent it is rejected again.
    """
    if repaired is None and record.truncated:
        raise ReplayError(
            f"only {len(record.payload):,} of its {record.size:,} B are kept: give it whole with --file"
        )
    payload = record.payload if repaired is None else repaired
    if record.code == WHOLE:
        return Entry(record.thing or UNKNOWN, payload)
    if record.client is None and not record.direct and record.code in _CLIENT_MATTERS:
        raise ReplayError("it was quarantined by a version that did not note how it came")
    given: dict[str, object] = {
        "b": base64.b64encode(payload).decode(),
        "thing": record.thing,
        "rx": record.at_ms,
    }
    if record.direct:
        given["source"] = DIRECT
    if record.client is not None or not record.direct:
        given["client"] = record.client if record.client is not None else record.thing
    return Entry(record.thing or UNKNOWN, json.dumps(given).encode())


def verdict(put_back: Entry, allow_direct: bool, now_ms: int) -> str:
    """Why this version of ingest would set the record aside again; "" when it would store it."""
    record = {
        "kinesis": {
            "data": base64.b64encode(put_back.data).decode(),
            "approximateArrivalTimestamp": now_ms / 1000,
        }
    }
    found = sift.accept(record, allow_direct, now_ms)
    return f"{found.code}: {found.reason}" if isinstance(found, Poison) else ""
