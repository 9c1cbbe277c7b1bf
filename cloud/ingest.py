"""Lambda entry: Kinesis records in, decode, validate, enrich, store, for the whole batch at once.

A record that breaks a rule is quarantined with its reason and done with. Only what may succeed later
is reported, by the lowest sequence number: Lambda sends everything from there on again, so every
write here can be made twice without a trace.
"""

from __future__ import annotations

import gc
import os
import random
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, cast

from cloud import chunk, poison, rollup_marks, telemetry
from cloud.announce import EventBus
from cloud.decode import Arrival
from cloud.dynamo import Outcome, Patience
from cloud.dynamo_http import Client
from cloud.keys import DAY_MS
from cloud.latest_store import LatestStore
from cloud.poison import Poison, Rejected
from cloud.registry import Registry
from cloud.rollup_marks import Lateness
from cloud.rollup_settings import window
from cloud.settings import Settings, load
from cloud.sift import poison_of, sift
from cloud.store import Store, Write
from cloud.validate import is_future

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient


COLLECT_AFTER = 50_000
"""New objects between two looks of the garbage collector. A batch makes no cycles but those of errors, and
Python's own 700 cost 7 % of the time."""


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
    gc.set_threshold(COLLECT_AFTER)
    # It has the calls that are made here, with the arguments and answers of botocore's.
    settings, client = load(os.environ), cast("DynamoDBClient", Client(os.environ))
    registry = Registry(client, settings.registry_table, time.monotonic)
    bus = EventBus(settings.stage, say=telemetry.say)
    states = LatestStore(client, settings.latest_table, registry, bus, settings.latest_days * DAY_MS)
    return Pipeline(settings, Store(client), registry, states, telemetry.say, lambda: secrets.token_hex(8))


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The whole way of a batch of records into the tables."""

    settings: Settings
    store: Store
    registry: Registry
    states: LatestStore
    say: Callable[[Mapping[str, object]], None]
    token: Callable[[], str]
    """Makes what tells the dirty marks of one invocation from those of any other."""

    def run(self, records: Iterable[object], patience: Patience, now_ms: int) -> dict[str, Any]:
        """Store what can be stored and report the lowest record worth another try."""
        arrivals, rejected = sift(records, self.settings.allow_direct, now_ms)
        stored, outcome = self._store(arrivals, patience)
        late = self._mark(stored, outcome, patience, now_ms)
        outcome.add(self.registry.learn(stored, patience.share(0.3)))
        taken = self.states.take_in(stored, patience.share(0.7))
        outcome.add(taken.outcome)
        rejected += self._refused(arrivals, outcome)
        outcome.add(self._quarantine(rejected, patience))
        counts = {"Late": late.late, "BeyondWindow": late.beyond, **taken.counts}
        return self._report(stored, rejected, outcome, counts, now_ms)

    def _store(self, arrivals: Sequence[Arrival], patience: Patience) -> tuple[list[Arrival], Outcome]:
        """Write the chunks; returns what is in the table, and what became of the rest."""
        table, days = self.settings.readings_table, self.settings.retention_days
        outcome = self.store.put(
            [Write(table, chunk.pack(each, days), _sequence(each)) for each in arrivals],
            patience.share(0.5),
        )
        missed = outcome.failed.keys() | outcome.refused.keys()
        return [each for each in arrivals if _sequence(each) not in missed], outcome

    def _mark(self, stored: Sequence[Arrival], outcome: Outcome, patience: Patience, now_ms: int) -> Lateness:
        """Mark the hours whose rollups may not know these chunks; only now, that whoever finds a mark finds
        the chunk. A mark that fails is reported, and made when the record comes again."""
        days = window(self.settings.late_days, self.settings.retention_days)
        late = rollup_marks.lateness(stored, now_ms, days)
        if late.hours:
            token, table = self.token(), self.settings.readings_table
            marks = [
                Write(table, rollup_marks.pack(gateway, hour_ms, token, now_ms, days), sequence)
                for (gateway, hour_ms), sequence in late.hours.items()
            ]
            outcome.add(self.store.put(marks, patience.share(0.3)))
        return late

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
        counted: Mapping[str, int],
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
            "Readings": sum(len(each.sealed) for each in done),
            "Quarantined": len(aside),
            "Retried": len(outcome.failed),
            "Future": sum(map(is_future, done)),
            **counted,
        }
        self.say(telemetry.metrics(self.settings.stage, now_ms, counts))
        return {"batchItemFailures": [] if lowest is None else [{"itemIdentifier": lowest}]}


def _sequence(arrival: Arrival) -> str:
    return arrival.envelope.position.sequence


def _order(sequence: str) -> tuple[int, str]:
    """Sequence numbers are decimal and may differ in length."""
    return len(sequence), sequence
