"""Gaps kept by the rollup pass: once an hour a gateway, from the batches that are at hand or read again.

An hour is looked at when it has closed, and again when something of it came late. It takes one read and
one write a gateway and hour; repeating it changes nothing. Of a gateway that has sent nothing in the hour,
the holes that are still young are asked for again: a request may have been noted and lost in a crash, or
never heard. That takes the read, and the write when there is something to ask for; a gateway that was last
heard before all that may be asked for costs nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

from cloud.buckets import HOUR
from cloud.dynamo import RefusedError
from cloud.gap_ranges import Hole
from cloud.gaps_item import GapsError
from cloud.gaps_state import Gaps, ask, observe
from cloud.gaps_store import GapStore
from cloud.keys import DAY_MS
from cloud.resend import Policy, Publish, PublishError, request, topic
from edge_agent.contract import Batch

MOST_IN_PASS = 500
"""Requests of one pass, about: a fault of the whole fleet must not become a flood. Silent gateways get half,
so that they leave some to those that can answer."""
COUNTS = ("GapsMissing", "GapsUnknown", "GapsAsked", "GapsUnreadable", "GapsNotPublished")


class Batches(Protocol):
    """Reads stored batches, as ``RollupStore.batches`` does."""

    def __call__(self, gateway: str, since_ms: int, until_ms: int, slack_ms: int) -> tuple[list[Batch], int]:
        """Batches that may have readings in [since, until), and how many cannot be read."""


@dataclass(frozen=True, slots=True)
class GapWatch:
    """An observer of the rollup pass that keeps gaps and asks for what is missing."""

    store: GapStore
    batches: Batches
    now_ms: Callable[[], int]
    retention_days: int
    say: Callable[[Mapping[str, object]], None]
    policy: Policy | None = None
    """None: nothing is asked for."""
    publish: Publish | None = None
    most: int = MOST_IN_PASS
    counts: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(COUNTS, 0)))
    _lock: Lock = field(default_factory=Lock, repr=False)

    def __call__(
        self, gateway: str, batches: Sequence[Batch], since_ms: int, until_ms: int, heard_ms: int
    ) -> None:
        """Look at the hour that ends in (since, until], if one does; raises TransientError."""
        end_ms = HOUR.start(until_ms)
        start_ms = end_ms - HOUR.length_ms
        if end_ms <= since_ms:
            return
        if since_ms > start_ms or until_ms > end_ms:
            batches, _ = self.batches(gateway, start_ms, end_ms, 0)
        if batches or self._may_ask(heard_ms):
            self._look(gateway, batches)

    def _may_ask(self, heard_ms: int) -> bool:
        """Whether a gateway that was last heard then can have holes that are asked for."""
        if self.policy is None or self.publish is None:
            return False
        return self.now_ms() - heard_ms <= self.policy.young_ms

    def _look(self, gateway: str, batches: Sequence[Batch]) -> None:
        now_ms, room = self.now_ms(), self._room(len(batches) == 0)
        wanted: list[tuple[int, Hole]] = []

        def change(gaps: Gaps) -> Gaps:
            made = observe(gaps, batches, now_ms - self.retention_days * DAY_MS).gaps
            wanted[:] = self.policy.due(made, now_ms)[:room] if self.policy and self.publish else []
            return ask(made, wanted, now_ms) if wanted else made

        try:
            gaps = self.store.change(gateway, change, now_ms)
        except (GapsError, RefusedError) as exc:
            # What a newer version has written stays as it is; neither that nor a refusal stops rollups.
            self._count("GapsUnreadable")
            self.say({"level": "ERROR", "event": "gaps", "gateway": gateway, "reason": str(exc)})
            return
        missing = [hole for _, hole in gaps.missing()]
        self._count("GapsMissing", sum(hole.count for hole in missing))
        self._count("GapsUnknown", sum(hole.count for hole in missing if hole.reason is None))
        self._count("GapsAsked", len(wanted))
        for epoch, hole in wanted:
            self._ask(gateway, request(epoch, hole))

    def _room(self, silent: bool) -> int:
        """How many requests there is room for in this pass."""
        with self._lock:
            return max(self.most // (1 + silent) - self.counts["GapsAsked"], 0)

    def _ask(self, gateway: str, payload: bytes) -> None:
        try:
            if self.publish:
                self.publish(topic(gateway), payload)
        except PublishError as exc:
            # Asked for again in an hour.
            self._count("GapsNotPublished")
            self.say({"level": "WARNING", "event": "resend", "gateway": gateway, "reason": str(exc)})

    def _count(self, name: str, by: int = 1) -> None:
        with self._lock:
            self.counts[name] += by

    def taken(self) -> dict[str, int]:
        """The counts of the pass that ends here; they begin anew."""
        with self._lock:
            found = dict(self.counts)
            self.counts.update({name: -count for name, count in found.items()})
            return found
