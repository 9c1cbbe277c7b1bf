"""How long to wait before the next attempt: full jitter below a limit that grows with each failure."""

from __future__ import annotations

import random

FIRST_BACKOFF_S = 1.0
STABLE_S = 60.0
"""A connection that held this long was a good one: two gateways of one name throw each other out at once."""


class Backoff:
    """Counts failures in a row; one soon after a success counts on, or a duplicate name is a war."""

    def __init__(self, limit_s: float, rng: random.Random) -> None:
        """No wait is longer than ``limit_s``."""
        self._limit_s = limit_s
        self._rng = rng
        self._failures = 0

    def failed(self, connected_s: float) -> None:
        """Count a failure, of a connection that had lived for ``connected_s``; 0 when there was none."""
        self._failures = 1 if connected_s >= STABLE_S else min(self._failures + 1, 32)

    def next_s(self) -> float:
        """A random time below a limit that doubles with each failure."""
        return self._rng.uniform(0, min(self._limit_s, FIRST_BACKOFF_S * 2.0**self._failures))
