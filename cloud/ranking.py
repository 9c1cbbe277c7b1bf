"""The state of every link and how bad it is, from the latest states (pure).

The order is: down first, then what sent nothing or could not be measured, then by loss, then by
median round-trip time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from cloud import link_state
from cloud.health import is_down, max_us, p50_us, p95_us
from cloud.latest import Condition, Latest, Series
from cloud.latest_front import NOWHERE, Place
from edge_agent.contract import Outcome, Reading

SILENT_MS = 900_000
"""A link without a reading for so long has no data; the same age that makes a batch backlog."""
_PREFERENCE = ("echo", "stamp", "connect", "http", "dns", "interface")
"""The kind that speaks for a link, best first; what any other kind measures does not tell up from down."""
OF_GATEWAY = ("host", "agent", "gap")
"""Kinds of reading that are of the gateway, not of a link."""
SORTS = ("worst", "loss", "p50", "age", "name")


class State(Enum):
    """What is known of a link now."""

    DOWN = "down"
    NO_DATA = "no data"
    NOT_MEASURED = "not measured"
    DEGRADED = "degraded"
    UP = "up"


_TOLD = {
    link_state.State.UP: State.UP,
    link_state.State.DEGRADED: State.DEGRADED,
    link_state.State.DOWN: State.DOWN,
}
"""What is known by the hysteresis of cloud/link_state.py, and told by events."""


@dataclass(frozen=True, slots=True)
class LinkRow:
    """One link as `linkview links` shows it."""

    link: str
    gateway: str
    peer: str
    medium: str
    state: State
    age_ms: int
    """Since the last reading of the kind that speaks for the link."""
    speaker: Series
    readings: tuple[Reading, ...]
    """The latest of each kind."""
    capacity_kbps: int | None = None
    """Nominal, from the registry."""
    since_ms: int | None = None
    """When its state began, by the rules that events follow; None when no round has told yet."""
    place: Place = NOWHERE
    """Where its gateway stands."""

    @property
    def loss(self) -> float | None:
        """Share of round trips lost, 0 to 1, in the batch last received; None when not measured."""
        return self.speaker.lost / self.speaker.sent if self.speaker.sent else None

    @property
    def p50_us(self) -> int | None:
        """Median round-trip, connect, look-up or first-byte time, µs."""
        return p50_us(self.speaker.reading)

    @property
    def p95_us(self) -> int | None:
        """95th percentile of the round-trip time, µs; None under 20 replies."""
        return p95_us(self.speaker.reading)

    @property
    def max_us(self) -> int | None:
        """Longest of these times, µs."""
        return max_us(self.speaker.reading)


def rows(states: Iterable[Latest], now_ms: int) -> list[LinkRow]:
    """A row for every link of every gateway."""
    return [row for state in states for row in _rows(state, now_ms)]


def _rows(state: Latest, now_ms: int) -> Iterable[LinkRow]:
    links: dict[str, list[Series]] = {}
    for series in state.series:
        if series.reading.kind in OF_GATEWAY:
            continue
        links.setdefault(series.reading.link, []).append(series)
    for link, found in links.items():
        speaking = [series for series in found if series.reading.kind in _PREFERENCE] or found
        speaker = min(speaking, key=lambda series: (_silent(series, now_ms), _rank(series)))
        neighbour, condition = state.links.get(link), state.conditions.get(link)
        yield LinkRow(
            link,
            state.gateway,
            neighbour.peer if neighbour else "",
            neighbour.medium if neighbour else "",
            _state(speaker, found, condition, now_ms),
            now_ms - speaker.reading.at_ms,
            speaker,
            tuple(series.reading for series in found),
            neighbour.capacity_kbps if neighbour else None,
            condition.since_ms if condition else None,
            state.place,
        )


def _rank(series: Series) -> int:
    kind = series.reading.kind
    return _PREFERENCE.index(kind) if kind in _PREFERENCE else len(_PREFERENCE)


def _silent(series: Series, now_ms: int) -> bool:
    return now_ms - series.reading.at_ms > SILENT_MS


def _state(speaker: Series, found: Iterable[Series], condition: Condition | None, now_ms: int) -> State:
    if _silent(speaker, now_ms):
        return State.NO_DATA
    cut = any(
        series.reading.kind == "interface" and is_down(series.reading) and not _silent(series, now_ms)
        for series in found
    )
    down = is_down(speaker.reading)
    if not cut and (speaker.reading.outcome is not Outcome.MEASURED or down is None):
        return State.NOT_MEASURED
    if condition is not None:
        return _TOLD[condition.state]
    return State.DOWN if cut or down else State.UP


def score(row: LinkRow) -> tuple[int, float, float]:
    """How bad a link is: down, then unknown, then loss, then median time; the highest is the worst."""
    urgency = {State.DOWN: 2, State.NO_DATA: 1, State.NOT_MEASURED: 1}.get(row.state, 0)
    return urgency, row.loss or 0.0, row.p50_us or 0


def ordered(found: Iterable[LinkRow], sort: str = "worst") -> list[LinkRow]:
    """The rows in one of SORTS, worst first; ties by name, so that the order is stable."""
    named = sorted(found, key=lambda row: (row.link, row.gateway))
    if sort == "loss":
        return sorted(named, key=lambda row: -1.0 if row.loss is None else row.loss, reverse=True)
    if sort == "p50":
        return sorted(named, key=lambda row: -1 if row.p50_us is None else row.p50_us, reverse=True)
    if sort == "age":
        return sorted(named, key=lambda row: row.age_ms, reverse=True)
    return named if sort == "name" else sorted(named, key=score, reverse=True)
