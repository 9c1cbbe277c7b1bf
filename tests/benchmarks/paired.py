"""Paired measurement: ours and the peer in turn, so that a noisy machine is noisy for both."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One figure of ours beside the peer's; `ratio` is ours / peer, `most` and `least` bound ours itself."""

    what: str
    unit: str
    ours: float
    peer: float
    peer_name: str
    at_most: float | None = None
    at_least: float | None = None
    most: float | None = None
    least: float | None = None
    not_measured: str = ""
    """Why there is no figure; such a row is neither reached nor missed."""

    @property
    def ratio(self) -> float:
        return self.ours / self.peer

    @property
    def bound(self) -> str:
        if self.most is not None:
            return f"<= {self.most:g} {self.unit}"
        if self.at_most is not None:
            return f"<= {self.at_most:g}"
        bounds = [] if self.at_least is None else [f">= {self.at_least:g}"]
        if self.least is not None:
            bounds.append(f">= {self.least:,.0f}")
        return ", ".join(bounds) or "-"

    @property
    def reached(self) -> bool:
        if self.not_measured:
            return True
        low = self.at_least is None or self.ratio >= self.at_least
        high = self.at_most is None or self.ratio <= self.at_most
        enough = self.least is None or self.ours >= self.least
        return low and high and enough and (self.most is None or self.ours <= self.most)

    def as_json(self) -> dict[str, Any]:
        if self.not_measured:
            return {"what": self.what, "not_measured": self.not_measured}
        return {**asdict(self), "ratio": self.ratio, "reached": self.reached}


def not_measured(what: str, why: str) -> Row:
    """A row that says why it has no figure."""
    return Row(what, "", math.nan, math.nan, why, not_measured=why)


def rates(
    ours: Callable[[], object], peer: Callable[[], object], units: int, repeats: int = 9
) -> tuple[float, float]:
    """Median units a second of CPU time of each, run alternately."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for which, action in enumerate((ours, peer)):
            gc.collect()  # neither pays for what the other has left behind
            start = time.process_time()
            action()
            taken[which].append(units / (time.process_time() - start))
    return statistics.median(taken[0]), statistics.median(taken[1])
