"""Lambda entry: EventBridge Scheduler every 5 minutes; rolls up what has closed and what came late.

The Scheduler may call twice or not at all, and Lambda retries what failed: a pass does what is left to
do whenever it is called, and doing it twice changes nothing. On its way it keeps the gaps of each
gateway, asks for what is missing, and tells of changes of link states that no batch has told of.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from cloud import resend, telemetry
from cloud.announce import EventBus
from cloud.dynamo import Patience, connect
from cloud.gaps_store import GapStore
from cloud.gaps_watch import GapWatch
from cloud.latest_telling import Bus, Teller
from cloud.resend import Policy, Publish
from cloud.rollup_pass import Pass
from cloud.rollup_settings import RollupSettings, load
from cloud.rollup_store import RollupStore
from cloud.rollup_telling import SilentTelling


class Context(Protocol):
    """The part of the Lambda context in use."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function is ended."""


def handler(event: Mapping[str, Any], context: Context) -> None:
    """One pass, over the part of the gateways that the schedule's input names (default: all of them)."""
    patience = Patience(lambda: context.get_remaining_time_in_millis() / 1000, time.sleep, random.random)
    segment, segments = share_of(event)
    rollup().run(_now_ms(), patience, segment, segments)


def share_of(event: Mapping[str, Any]) -> tuple[int, int]:
    """(segment, segments) of an event; a very large fleet has several schedules, each with its own."""
    segment, segments = event.get("segment", 0), event.get("segments", 1)
    if isinstance(segment, int) and isinstance(segments, int) and 0 <= segment < segments <= 1000:
        return segment, segments
    raise ValueError(f"segment {segment!r} of {segments!r} in the schedule's input is not one")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@cache
def rollup() -> Rollups:
    """The function's parts, made once in a process from its environment."""
    settings = load(os.environ)
    publish = resend.connect(os.environ) if settings.resend_hours else None
    bus = EventBus(settings.stage, say=telemetry.say)
    return make(settings, connect(), _now_ms, telemetry.say, publish, bus)


def make(
    settings: RollupSettings,
    client: Any,
    now_ms: Callable[[], int],
    say: Callable[[Mapping[str, object]], None],
    publish: Publish | None,
    bus: Bus,
) -> Rollups:
    """The parts, on one client of DynamoDB; without ``publish`` nothing is asked for."""
    store = RollupStore(client, settings.readings_table, settings.latest_table)
    # A day longer than the chunks: what is known of a gateway must not expire before them.
    gaps = GapStore(client, settings.readings_table, settings.retention_days + 1)
    policy = Policy(settings.resend_hours * resend.HOUR_MS)
    watch = GapWatch(gaps, store.batches, now_ms, settings.retention_days, say, policy, publish)
    telling = SilentTelling(Teller(client, settings.latest_table, bus))
    return Rollups(Pass(store, settings, say, observers=(watch,), visitors=(telling,)), watch, telling)


@dataclass(frozen=True, slots=True)
class Rollups:
    """A pass over the fleet, what it keeps of gaps on the way, and what it tells of."""

    one_pass: Pass
    watch: GapWatch
    telling: SilentTelling

    def run(self, now_ms: int, patience: Patience, segment: int = 0, segments: int = 1) -> None:
        """One pass; then say what it has found missing and told."""
        self.one_pass.run(now_ms, patience, segment, segments)
        stage = self.one_pass.settings.stage
        self.one_pass.say(telemetry.metrics(stage, now_ms, self.watch.taken() | self.telling.taken()))
