"""Batches of minutes, rolled up and checked against a recomputation, with crashes in between."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from cloud.buckets import DAY, FINE, HOUR
from cloud.keys import DAY_MS
from edge_agent.contract import Batch
from tests.cloud.records import EPOCH, NOW, batch, denied, echo, interface
from tests.cloud.rollup_cloud import Rolled, figures, recomputed, same

START = NOW // DAY_MS * DAY_MS
"""Midnight before the moment of the tests."""
MINUTE = 60_000


class CrashError(BaseException):
    """The function is killed: nobody catches this."""


def minutes(gateway: str, first: int, last: int, seed: int = 1) -> list[Batch]:
    """A batch a minute of three links, from minute to minute of the day; the first batch crosses periods."""
    rng = random.Random(f"{gateway} {seed}")
    made = []
    for minute in range(first, last):
        at = START + minute * MINUTE - 30_000 * (minute > 0)
        readings = [
            echo("a.b", at, rng.randrange(1_000, 90_000), received=rng.randrange(6)),
            echo("a.c", at + 20_000 + rng.randrange(30_000), rng.randrange(1_000, 9_000), received=5),
            rng.choice([denied("a.b", at + 1_000), interface("a.b", at + 1_000)]),
        ]
        made.append(batch(gateway, readings, sequence=3 * minute, epoch=EPOCH))
    return made


def check(rolled: Rolled, sent: list[Batch], until_ms: int) -> None:
    """All that is closed is stored, just as it was generated."""
    for name, step in (("5m", FINE), ("1h", HOUR), ("1d", DAY)):
        truth = {
            key: value for key, value in recomputed(sent, name).items() if key[1] + step.length_ms <= until_ms
        }
        assert same(figures(rolled.stored(name).values()), truth), name


def crash_after(call: int) -> Callable[[Any], Callable[[str, dict[str, Any]], Any]]:
    def bound(client: Any) -> Callable[[str, dict[str, Any]], Any]:
        made = 0

        def fault(operation: str, request: dict[str, Any]) -> Any:
            nonlocal made
            made += 1
            if made == call:
                getattr(client, operation)(**request)
                raise CrashError(operation)
            return None

        return fault

    return bound
