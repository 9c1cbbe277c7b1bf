"""When rounds are due: a grid for each series, its phase, and the random shift of each round (pure)."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence

_GOLDEN = (math.sqrt(5) - 1) / 2


def phases(periods_s: Sequence[float], start: float) -> list[float]:
    """When each series begins, s: those of one period are spread over it, however many they are.

    Steps of the golden ratio leave no two of n points nearer than about 1/(2n) of the period, where random
    ones meet. ``start``, 0 to 1, is drawn at random: the gateways of a fleet do not beat as one either.
    """
    turns: Counter[float] = Counter()
    found = []
    for period_s in periods_s:
        found.append((start + turns[period_s] * _GOLDEN) % 1 * period_s)
        turns[period_s] += 1
    return found


def shift(rng: random.Random, jitter: float, period_s: float, timeout_s: float) -> float:
    """How far a round is moved off its grid, s: up to ``jitter`` periods to either side.

    It is never so much that a round which takes all of its timeout would meet the next.
    """
    most = min(jitter * period_s, (period_s - timeout_s) / 2)
    return rng.uniform(-most, most) if most > 0 else 0.0


def next_due(first: float, period_s: float, due: float, now: float) -> float:
    """The next time on the grid first + n x period: after ``due`` and not before ``now``.

    Rounds that a suspend or a stall has passed over are skipped, and the grid never drifts.
    """
    turn = max(round((due - first) / period_s) + 1, math.ceil((now - first) / period_s))
    return first + turn * period_s
