"""Periods of 5 minutes, hours and days: where they begin, and when they are rolled up (pure).

A period is rolled up SETTLE_MS after its end. A chunk that is stored before that is seen by the pass,
which reads consistently; one that is stored later, or covers more than SHORT_MS, leaves a dirty mark.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cloud.keys import DAY_MS, HOUR_MS

FINE_MS = 300_000
SETTLE_MS = 600_000
"""A period is rolled up so long after its end: live batches of up to 5 minutes have arrived by then."""
LEEWAY_MS = 90_000
"""An invocation of the ingest function (60 s) and a difference of clocks, by which late is called early."""
SHORT_MS = 300_000
"""A regular pass looks for chunks that begin up to so long before the period; longer ones are marked."""


@dataclass(frozen=True, slots=True)
class Step:
    """A length of periods, UTC."""

    name: str
    length_ms: int

    def start(self, at_ms: int) -> int:
        """Start of the period that holds a time."""
        return at_ms // self.length_ms * self.length_ms

    def starts(self, since_ms: int, until_ms: int) -> Iterator[int]:
        """Starts of the periods that overlap [since, until)."""
        return iter(range(self.start(since_ms), until_ms, self.length_ms))


FINE, HOUR, DAY = Step("5m", FINE_MS), Step("1h", HOUR_MS), Step("1d", DAY_MS)
STEPS = {step.name: step for step in (FINE, HOUR, DAY)}
FINER = {HOUR: FINE, DAY: HOUR}
"""What a step's periods are made of."""


def closed(now_ms: int) -> int:
    """The end of the newest 5 minutes that may be rolled up."""
    return FINE.start(now_ms - SETTLE_MS)
