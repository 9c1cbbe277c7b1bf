"""Sorting the records of an event into batches to store and poison to quarantine (pure)."""

from __future__ import annotations

from collections.abc import Iterable

from cloud import decode
from cloud.decode import Arrival
from cloud.poison import Poison, Rejected, reject
from cloud.validate import validate


def sift(records: Iterable[object], allow_direct: bool, now_ms: int) -> tuple[list[Arrival], list[Poison]]:
    """The distinct batches among records, and the records that are none; duplicates fall away."""
    arrivals: dict[tuple[str, int, int, int], Arrival] = {}
    rejected = []
    for record in records:
        found = accept(record, allow_direct, now_ms)
        if isinstance(found, Poison):
            rejected.append(found)
            continue
        batch = found.batch
        first = arrivals.setdefault((batch.gateway, found.first_ms, batch.epoch, batch.first_sequence), found)
        if first.envelope.payload != found.envelope.payload:
            reason = "another batch with the same identity and other content came just before"
            rejected.append(poison_of(found, Rejected("conflict", reason)))
    return list(arrivals.values()), rejected


def accept(record: object, allow_direct: bool, now_ms: int) -> Arrival | Poison:
    """A record as a batch to store or as poison to quarantine, with as much of it as was understood."""
    position, payload = decode.locate(record, now_ms)
    thing, at_ms = "", position.arrived_ms
    try:
        payload = decode.unpack(payload)
        envelope = decode.unwrap(position, payload)
        thing, at_ms, payload = envelope.thing, envelope.rx_ms, envelope.payload
        return validate(decode.decode(envelope), allow_direct)
    except Rejected as rejected:
        return reject(rejected, position, thing, at_ms, payload)


def poison_of(arrival: Arrival, rejected: Rejected) -> Poison:
    """An arrival that is rejected after all, as poison."""
    envelope = arrival.envelope
    return reject(rejected, envelope.position, envelope.thing, envelope.rx_ms, envelope.payload)
