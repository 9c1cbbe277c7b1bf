"""When each gateway of a fleet measures: the past first, when there is to be one, then round after round."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Past:
    """What the gateways measured before the run, while their backhaul was out; ms."""

    length_ms: int
    interval_ms: int


@dataclass(frozen=True, slots=True)
class Plan:
    """How long the fleet measures and how often, ms."""

    interval_ms: int
    duration_ms: int | None
    """None: until it is stopped."""
    flush_ms: int
    past: Past | None = None


class Round(NamedTuple):
    """One round of one gateway."""

    at_ms: int
    gateway: int
    """Its index in the world."""
    period_ms: int | None
    """Since the round before; None for the first."""


class Rounds:
    """All rounds in the order of their times: each gateway has a random phase, so that load is even."""

    def __init__(self, plan: Plan, seed: int, gateways: int, start_ms: int) -> None:
        """``start_ms`` is when the run begins: the past is before it."""
        rng = random.Random(f"phase/{seed}")
        self._plan = plan
        self._start_ms = start_ms
        self._phases = [rng.randrange(plan.interval_ms) for _ in range(gateways)]
        self._due = [Round(self._first_ms(phase), index, None) for index, phase in enumerate(self._phases)]
        heapq.heapify(self._due)

    @property
    def next_ms(self) -> int:
        """Time of the next round."""
        return self._due[0].at_ms

    def take(self) -> Round:
        """The next round; the one after it of the same gateway takes its place."""
        now = self._due[0]
        after_ms = self._after_ms(now)
        heapq.heapreplace(self._due, Round(after_ms, now.gateway, after_ms - now.at_ms))
        return now

    def _first_ms(self, phase: int) -> int:
        past = self._plan.past
        if past is None:
            return self._start_ms + phase
        return self._start_ms - past.length_ms + phase * past.interval_ms // self._plan.interval_ms

    def _after_ms(self, now: Round) -> int:
        past = self._plan.past
        if past is None or now.at_ms >= self._start_ms:
            return now.at_ms + self._plan.interval_ms
        after_ms = now.at_ms + past.interval_ms
        return after_ms if after_ms < self._start_ms else self._start_ms + self._phases[now.gateway]
