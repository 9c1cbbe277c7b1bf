"""What the bucket of undeliverable records holds, as records for the stream (pure).

Two formats: the message of the rule's error action (AWS IoT developer guide, "Error action message
format") and the record of a batch that the event source mapping gave up (Lambda developer guide,
"Retain discarded batch records for a Kinesis Data Streams event source": for S3, ``payload`` is the
whole event as it was given to the function).
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from cloud.replay import UNKNOWN
from cloud.stream import Entry

RULE_ERRORS = "rule-errors/"
"""Where the rule's error action puts messages, as the template says."""
DISCARDED = "aws/lambda/"
"""Where Lambda puts batches: aws/lambda/<mapping>/<shard>/YYYY/MM/DD/…"""
PREFIXES = (RULE_ERRORS, DISCARDED)
MAX_KEY = 256
"""Characters of a partition key (Kinesis API reference, PutRecords)."""


class LetterError(Exception):
    """An object is not what its place says; the message says how."""


def records(key: str, body: bytes, stored_ms: int) -> list[Entry]:
    """The records in an object of the bucket; raises LetterError.

    ``stored_ms``, when the object was made, stands for the reception of a message that never reached the
    stream; the keys of what it holds are sealed in it and do not depend on that.
    """
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise LetterError("it is not JSON") from exc
    if not isinstance(given, dict):
        raise LetterError("it is not a JSON object")
    return [_of_rule(given, stored_ms)] if key.startswith(RULE_ERRORS) else _of_mapping(given)


def _of_rule(given: dict[str, Any], stored_ms: int) -> Entry:
    """The record that the rule would have made of the message."""
    payload = _text(given, "base64OriginalPayload")
    _decoded(payload, "base64OriginalPayload")
    thing = _thing(_text(given, "topic"))
    # The client is who published it: ingest compares it with the topic again.
    envelope = {"b": payload, "thing": thing, "client": _text(given, "clientId"), "rx": stored_ms}
    return Entry(thing[:MAX_KEY], json.dumps(envelope).encode())


def _thing(topic: str) -> str:
    """topic(2) of the rule: the topic's second level behind the prefix of Basic Ingest, if it has that."""
    levels = topic.split("/")
    if levels[:2] == ["$aws", "rules"]:
        levels = levels[3:]
    if len(levels) < 2 or not levels[1]:
        raise LetterError(f"topic {topic[:200]!r} names no gateway")
    return levels[1]


def _of_mapping(given: dict[str, Any]) -> list[Entry]:
    """The records as they were in the stream."""
    event = given.get("payload")
    if isinstance(event, str):
        try:
            event = json.loads(event)
        except (ValueError, RecursionError) as exc:
            raise LetterError("its payload is not JSON") from exc
    found = event.get("Records") if isinstance(event, dict) else None
    if not isinstance(found, list) or not found:
        raise LetterError("it holds no records, only where they were")
    return [_of_record(record) for record in found]


def _of_record(record: object) -> Entry:
    kinesis = record.get("kinesis") if isinstance(record, dict) else None
    if not isinstance(kinesis, dict):
        raise LetterError("one of its records is not of Kinesis")
    data = _decoded(_text(kinesis, "data"), "data")
    return Entry((_text(kinesis, "partitionKey") or UNKNOWN)[:MAX_KEY], data)


def _text(given: dict[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str):
        raise LetterError(f"field {name} is missing or not a text")
    try:
        value.encode()
    except UnicodeEncodeError as exc:
        raise LetterError(f"field {name} is not Unicode") from exc
    return value


def _decoded(text: str, name: str) -> bytes:
    try:
        return base64.b64decode(text.encode(errors="replace"), validate=True)
    except binascii.Error as exc:
        raise LetterError(f"field {name} is not base64") from exc
