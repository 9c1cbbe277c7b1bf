"""How long a link was up, degraded or down, and how long nobody knows, from its rollups (pure).

A period counts by the kind that speaks best for the link. Its readings say which part of it was down;
what was not down counts as degraded when it lost at least a given share. A period without a reading that
tells up from down is unknown: neither up nor down. Where a link is read about once a period, a single
empty one between two that are known is that of the reading before: rounds are jittered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from cloud.buckets import Step
from cloud.ranking import OF_GATEWAY
from cloud.rollup_item import Rollup
from cloud.rollup_summary import Summary

_SPEAKERS = ("echo", "stamp", "connect", "http", "dns", "interface")
"""The kind that speaks for a link, best first, as in `linkview links`."""


@dataclass(frozen=True, slots=True)
class Uptime:
    """A link's month; the four add up to the time that has passed."""

    gateway: str
    link: str
    up_ms: int
    degraded_ms: int
    down_ms: int
    unknown_ms: int

    @property
    def known_ms(self) -> int:
        """Time of which something is known, ms."""
        return self.up_ms + self.degraded_ms + self.down_ms

    @property
    def available(self) -> float | None:
        """Part of the known time that the link was not down, 0 to 1; None when nothing is known."""
        return (self.up_ms + self.degraded_ms) / self.known_ms if self.known_ms else None


@dataclass(frozen=True, slots=True)
class _Period:
    known: int
    down: int
    lossy: bool


@dataclass(slots=True)
class Month:
    """Gathers the rollups of one gateway from ``since_ms`` to ``until_ms``."""

    gateway: str
    step: Step
    since_ms: int
    until_ms: int
    degraded_loss: float
    """Share of lost round trips, 0 to 1, from which on a link is degraded."""
    _links: dict[str, dict[int, _Period]] = field(default_factory=dict)

    def add(self, rollup: Rollup) -> None:
        """Take the rollup of a period; each once, in any order."""
        links: dict[str, list[Summary]] = {}
        for summary in rollup.series:
            if summary.kind not in OF_GATEWAY:
                links.setdefault(summary.link, []).append(summary)
        for link, found in links.items():
            periods = self._links.setdefault(link, {})
            if known := [each for each in found if each.known and each.kind in _SPEAKERS]:
                periods[rollup.start_ms] = self._period(known)

    def _period(self, known: Iterable[Summary]) -> _Period:
        speaker = min(known, key=lambda each: _SPEAKERS.index(each.kind))
        cut = next((each for each in known if each.kind == "interface"), None)
        if cut and cut.down * speaker.known > speaker.down * cut.known:
            speaker = cut  # the interface was gone for longer than the probes could say
        # What the rounds that were down have lost says nothing of the others.
        up = speaker.known - speaker.down
        lost = speaker.lost - speaker.sent * speaker.down / speaker.known
        sent = speaker.sent * up / speaker.known
        return _Period(speaker.known, speaker.down, bool(sent) and lost / sent >= self.degraded_loss)

    def uptimes(self) -> list[Uptime]:
        """What came of each link, by name."""
        return [self._uptime(link, periods) for link, periods in sorted(self._links.items())]

    def _uptime(self, link: str, periods: dict[int, _Period]) -> Uptime:
        up = degraded = down = unknown = 0
        length = self.step.length_ms
        for start_ms in self.step.starts(self.since_ms, self.until_ms):
            spent = min(start_ms + length, self.until_ms) - max(start_ms, self.since_ms)
            period = periods.get(start_ms) or self._bridged(periods, start_ms)
            if period is None:
                unknown += spent
                continue
            lost = spent * period.down // period.known
            down += lost
            if period.lossy:
                degraded += spent - lost
            else:
                up += spent - lost
        return Uptime(self.gateway, link, up, degraded, down, unknown)

    def _bridged(self, periods: dict[int, _Period], start_ms: int) -> _Period | None:
        """The period before, when it has a single reading and the one after is known too."""
        before = periods.get(start_ms - self.step.length_ms)
        after = periods.get(start_ms + self.step.length_ms)
        return before if before and after and before.known == 1 else None
