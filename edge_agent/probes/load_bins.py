"""Round trips kept apart by how busy the link's interface was while they were out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from edge_agent.probes.echo_statistics import statistics

BUSY_FROM, LOADED_FROM = 0.6, 0.1
"""Shares of the reference rate from which a link counts as busy, and as loaded; below, it is idle."""
NAMES = ("idle", "loaded", "busy")
SAMPLE = 1_000
"""Round trips that a bin keeps; of more, an even sample."""
_LARGEST_COUNT = (1 << 32) - 2


def bin_of(rate_kbps: float, reference_kbps: int) -> str:
    """The bin of a round during which the interface carried so much."""
    share = rate_kbps / reference_kbps
    return "busy" if share >= BUSY_FROM else "loaded" if share >= LOADED_FROM else "idle"


@dataclass(slots=True)
class Bin:
    """The round trips at one load: an even sample (Vitter's algorithm R), and the load itself."""

    trips_ns: list[int] = field(default_factory=list)
    echoes: int = 0
    """Answered ones."""
    kilobits: float = 0
    seconds: float = 0

    def add(self, trips_ns: Sequence[int], kilobits: float, seconds: float, rng: random.Random) -> None:
        """Take the answered echoes of a round that lasted so long."""
        for trip in trips_ns:
            self.echoes += 1
            if len(self.trips_ns) < SAMPLE:
                self.trips_ns.append(trip)
            elif (place := rng.randrange(self.echoes)) < SAMPLE:
                self.trips_ns[place] = trip
        self.kilobits += kilobits
        self.seconds += seconds

    def columns(self, name: str) -> dict[str, int | None]:
        """Its columns of the load reading; the mean rate is null when no echo was answered."""
        _, p50, p95, *_ = statistics(self.trips_ns)
        return {
            f"{name}_echoes": min(self.echoes, _LARGEST_COUNT),
            f"{name}_p50_us": p50,
            f"{name}_p95_us": p95,
            f"{name}_kbps": round(self.kilobits / self.seconds) if self.echoes and self.seconds else None,
        }
