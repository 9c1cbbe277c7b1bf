"""Lambda entry: Kinesis records in, decode, validate, enrich, store, for the whole batch at once.

A record that breaks a rule is quarantined with its reason and done with. Only what may succeed later
is reported, by the lowest sequence number: Lambda sends everything from there on again, so every
write here can be made twice without a trace.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from cloud import chunk, poison, telemetry
from cloud.announce import EventBus
from cloud.decode import Arrival
from cloud.dynamo import Outcome, Patience, connect
from cloud.keys import DAY_MS
from cloud.latest_store import LatestStore, Taken
from cloud.poison import Poison, Rejected
from cloud.registry import Registry
from cloud.settings import Settings, load
from cloud.sift import poison_of, sift
from cloud.store import Store, Write
from cloud.validate import is_future


class Context(Protocol):
    """The part of the Lambda context in use."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function is ended."""


def handler(event: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Ingest one batch of the stream; never raises for what a record contains."""
    patience = Patience(lambda: context.get_remaining_time_in_millis() / 1000, time.sleep, random.random)
    return pipeline().run(event.get("Records") or (), patience, time.time_ns() // 1_000_000)


@cache
def pipeline() -> Pipeline:
    """The function's parts, made once in a process from its environment."""
    settings, client = load(os.environ), connect()
    registry = Registry(client, settings.registry_table, time.monotonic)
    bus = EventBus(settings.stage, say=telemetry.say)
    states = LatestStore(client, settings.latest_table, registry, bus, settings.latest_days * DAY_MS)
    return Pipeline(settings, Store(client), registry, states, telemetry.say)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The whole way of a batch of records into the tables."""

    settings: Settings
    store: Store
    registry: Registry
    states: LatestStore
    say: Callable[[Mapping[str, object]], None]

    def run(self, records: Iterable[object], patience: Patience, now_ms: int) -> dict[str, Any]:
        """Store what can be stored and report the lowest record worth another try."""
        arrivals, rejected = sift(records, self.settings.allow_direct, now_ms)
        stored, outcome, taken = self._store(arrivals, patience)
        rejected += self._refused(arrivals, outcome)
        outcome.add(self._quarantine(rejected, patience))
        return self._report(stored, rejected, outcome, taken, now_ms)

    def _store(self, arrivals: Sequence[Arrival], patience: Patience) -> tuple[list[Arrival], Outcome, Taken]:
        """Write chunks, link definitions and latest states; returns what is in the table, and the rest."""
        table, days = self.settings.readings_table, self.settings.retention_days
        outcome = self.store.put(
            [Write(table, chunk.pack(each, days), _sequence(each)) for each in arrivals],
            patience.share(0.5),
        )
        missed = outcome.failed.keys() | outcome.refused.keys()
        stored = [each for each in arrivals if _sequence(each) not in missed]
        outcome.add(self.registry.learn(stored, patience.share(0.3)))
        taken = self.states.take_in(stored, patience.share(0.7))
        outcome.add(taken.outcome)
        return stored, outcome, taken

    def _refused(self, arrivals: Sequence[Arrival], outcome: Outcome) -> list[Poison]:
        """The arrivals that DynamoDB will never take, as poison."""
        return [
            poison_of(each, Rejected("refused", outcome.refused[_sequence(each)]))
            for each in arrivals
            if _sequence(each) in outcome.refused
        ]

    def _quarantine(self, rejected: Sequence[Poison], patience: Patience) -> Outcome:
        table, days = self.settings.quarantine_table, self.settings.retention_days
        outcome = self.store.put(
            [Write(table, poison.pack(each, days), each.position.sequence) for each in rejected], patience
        )
        # What even the quarantine refuses goes back to the stream, whose retries end in a bucket.
        return Outcome(failed=outcome.failed | outcome.refused)

    def _report(
        self,
        stored: Iterable[Arrival],
        rejected: Iterable[Poison],
        outcome: Outcome,
        taken: Taken,
        now_ms: int,
    ) -> dict[str, Any]:
        lowest = min(outcome.failed, key=_order, default=None)

        def final(sequence: str) -> bool:
            # The rest comes again and is counted then.
            return lowest is None or _order(sequence) < _order(lowest)

        done = [each for each in stored if final(_sequence(each))]
        aside = [each for each in rejected if final(each.position.sequence)]
        for each in aside:
            self.say(telemetry.quarantined(each))
        if lowest is not None:
            self.say(telemetry.retried(outcome.failed, lowest))
        counts = {
            "Batches": len(done),
            "Readings": sum(len(each.batch.readings) for each in done),
            "Quarantined": len(aside),
            "Retried": len(outcome.failed),
            "Future": sum(map(is_future, done)),
            **taken.counts,
        }
        self.say(telemetry.metrics(self.settings.stage, now_ms, counts))
        return {"batchItemFailures": [] if lowest is None else [{"itemIdentifier": lowest}]}


def _sequence(arrival: Arrival) -> str:
    return arrival.envelope.position.sequence


def _order(sequence: str) -> tuple[int, str]:
    """Sequence numbers are decimal and may differ in length."""
    return len(sequence), sequence
