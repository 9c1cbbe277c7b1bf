"""Lambda entry: EventBridge Scheduler every 5 minutes; rolls up what has closed and what came late.

The Scheduler may call twice or not at all, and Lambda retries what failed: a pass does what is left to
do whenever it is called, and doing it twice changes nothing.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol

from cloud import telemetry
from cloud.dynamo import Patience, connect
from cloud.rollup_pass import Pass
from cloud.rollup_settings import load
from cloud.rollup_store import RollupStore


class Context(Protocol):
    """The part of the Lambda context in use."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function is ended."""


def handler(event: Mapping[str, Any], context: Context) -> None:
    """One pass, over the part of the gateways that the schedule's input names (default: all of them)."""
    patience = Patience(lambda: context.get_remaining_time_in_millis() / 1000, time.sleep, random.random)
    segment, segments = share_of(event)
    rollup_pass().run(time.time_ns() // 1_000_000, patience, segment, segments)


def share_of(event: Mapping[str, Any]) -> tuple[int, int]:
    """(segment, segments) of an event; a very large fleet has several schedules, each with its own."""
    segment, segments = event.get("segment", 0), event.get("segments", 1)
    if isinstance(segment, int) and isinstance(segments, int) and 0 <= segment < segments <= 1000:
        return segment, segments
    raise ValueError(f"segment {segment!r} of {segments!r} in the schedule's input is not one")


@cache
def rollup_pass() -> Pass:
    """The function's parts, made once in a process from its environment."""
    settings = load(os.environ)
    store = RollupStore(connect(), settings.readings_table, settings.latest_table)
    return Pass(store, settings, telemetry.say)
