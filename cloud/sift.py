"""Sorting the records of an event into batches to store and poison to quarantine (pure)."""

from __future__ import annotations

from collections.abc import Iterable

from cloud import decode
from cloud.decode import Arrival
from cloud.keys import DAY_MS
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
        given = found.sealed
        identity = given.gateway, given.first_ms, given.epoch, given.first_sequence
        first = arrivals.setdefault(identity, found)
        if first.envelope.payload != found.envelope.payload:
            reason = "another batch with the same identity and other content came just before"
            rejected.append(poison_of(found, Rejected("conflict", reason)))
    return list(arrivals.values()), rejected


def accept(record: object, allow_direct: bool, now_ms: int) -> Arrival | Poison:
    """A record as a batch to store or as poison to quarantine, with as much of it as was understood."""
    position, payload = decode.locate(record, now_ms)
    thing, client, direct, at_ms = "", None, False, position.arrived_ms
    try:
        payload = decode.unpack(payload)
        envelope = decode.unwrap(position, payload)
        thing, client, direct = envelope.thing, envelope.client, envelope.direct
        # One that claims to be of years to come would be shown in none of the days that anybody lists.
        at_ms, payload = min(envelope.rx_ms, now_ms + DAY_MS), envelope.payload
        return validate(decode.decode(envelope), allow_direct)
    except Rejected as rejected:
        return reject(rejected, position, thing, at_ms, payload, client, direct)


def poison_of(arrival: Arrival, rejected: Rejected) -> Poison:
    """An arrival that is rejected after all, as poison."""
    given = arrival.envelope
    return reject(
        rejected, given.position, given.thing, given.rx_ms, given.payload, given.client, given.direct
    )
