"""What readings come to in a period, counted again for the audit alone: plain sums over the generated truth.

Written from the description of a rollup, not from its code, so that the audit can contradict it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cloud.audit_kinds import COLUMNS
from cloud.rollup_summary import Measure, Summary

Content = Sequence[int | None]
"""Flags, outcome and columns of a reading."""

_MEASURED = 0
_FIRST_COLUMN = 2
RANKS = (0, 10, 50, 100, 250, 500, 750, 900, 950, 990, 1000)
"""Ranks in 1/1000 at which a sketch is held against the values."""

_REPLIES = {
    "echo": "received late",
    "stamp": "received late",
    "connect": "connected refused",
    "http": "answered refused",
    "dns": "answered",
}
"""By kind of probe, the columns that count what came back; the first is null when nothing was counted."""
_MEASURES = {
    "echo": ("rtt_p50_us rtt_min_us rtt_max_us rtt_mean_us received",),
    "stamp": ("rtt_p50_us rtt_min_us rtt_max_us rtt_mean_us received",),
    "connect": ("connect_p50_us connect_min_us connect_max_us connect_mean_us connected",),
    "http": ("first_byte_us first_byte_us first_byte_us first_byte_us",),
    "dns": ("lookup_p50_us lookup_min_us lookup_max_us lookup_mean_us answered",),
    "interface": ("rx_bytes rx_bytes rx_bytes rx_bytes", "tx_bytes tx_bytes tx_bytes tx_bytes"),
    "capacity": ("capacity_kbps capacity_kbps capacity_kbps capacity_kbps",),
    "bulk": ("goodput_kbps goodput_kbps goodput_kbps goodput_kbps",),
    "host": (
        "cpu_permille cpu_permille cpu_permille cpu_permille",
        "temperature_ck temperature_ck temperature_ck temperature_ck",
    ),
}
"""By kind, of each quantity: median, least, most and mean of a round, and how many samples it is of."""


def _places(kind: str, names: str) -> tuple[int, ...]:
    return tuple(_FIRST_COLUMN + COLUMNS[kind].index(name) for name in names.split())


_REPLY_PLACES = {kind: _places(kind, names) for kind, names in _REPLIES.items()}
_SENT_PLACES = {kind: _places(kind, "sent")[0] for kind in _REPLIES}
_IN_FLIGHT_PLACES = {kind: _places(kind, "in_flight")[0] for kind in ("echo", "stamp")}
_MEASURE_PLACES = {kind: tuple(_places(kind, each) for each in given) for kind, given in _MEASURES.items()}
_UP_PLACE, _PERIOD_PLACE = (_places("interface", name)[0] for name in ("up", "period_ms"))
_MOST_KBPS = (1 << 64) - 1


def _kbps(amount: int | None, period_ms: int | None) -> int | None:
    """Bytes in so many ms as kbit/s, at most what 8 bytes hold; None for what was not told."""
    return None if amount is None or not period_ms else min(amount * 8 // period_ms, _MOST_KBPS)


@dataclass(slots=True)
class Spread:
    """One quantity of a kind over a period."""

    samples: int = 0
    total: int = 0
    lows: list[int] = field(default_factory=list)
    highs: list[int] = field(default_factory=list)
    medians: list[int] = field(default_factory=list)

    def add(self, other: Spread) -> None:
        """Take in what another period has."""
        self.samples += other.samples
        self.total += other.total
        if other.medians:
            self.lows.append(min(other.lows))
            self.highs.append(max(other.highs))
            self.medians += other.medians

    def differences(self, name: str, given: Measure | None) -> list[str]:
        """How a rollup's measure differs; its quantiles may by 1 % and one half."""
        if given is None or not self.medians:
            return [] if given is None and not self.medians else [f"{name}: one has none"]
        pairs = (
            ("rounds", len(self.medians), given.rounds),
            ("samples", self.samples, given.samples),
            ("sum", self.total, given.total),
            ("least", min(self.lows), given.low),
            ("most", max(self.highs), given.high),
            ("count of the sketch", len(self.medians), given.sketch.count),
        )
        found = [
            f"{name} {what}: recomputed {ours}, stored {theirs}"
            for what, ours, theirs in pairs
            if ours != theirs
        ]
        return found or [*self._quantiles(name, given)]

    def _quantiles(self, name: str, given: Measure) -> list[str]:
        values, found = sorted(self.medians), []
        for rank in RANKS:
            true = values[max(-(-rank * len(values) // 1000), 1) - 1]
            told = given.sketch.quantile(rank)
            if told is None or abs(told - true) * 100 > true + 50:
                found.append(f"{name} quantile {rank / 1000}: recomputed {true}, stored {told}")
        return found


@dataclass(slots=True)
class Tally:
    """The readings of one kind on one link in a period."""

    kind: str
    readings: int = 0
    measured: int = 0
    known: int = 0
    down: int = 0
    sent: int = 0
    answered: int = 0
    spreads: list[Spread] = field(init=False)

    def __post_init__(self) -> None:
        self.spreads = [Spread() for _ in _MEASURES.get(self.kind, ())]

    def count(self, content: Content) -> None:
        """Take in one reading."""
        self.readings += 1
        if content[1] != _MEASURED:
            return
        self.measured += 1
        if self.kind in _REPLY_PLACES:
            self._count_replies(content)
        elif self.kind == "interface" and content[_UP_PLACE] is not None:
            self.known += 1
            self.down += content[_UP_PLACE] == 0
        for spread, places in zip(self.spreads, _MEASURE_PLACES.get(self.kind, ()), strict=True):
            self._count_spread(spread, [content[place] for place in places], content)

    def _count_replies(self, content: Content) -> None:
        sent, replies = (
            content[_SENT_PLACES[self.kind]],
            [content[each] for each in _REPLY_PLACES[self.kind]],
        )
        if sent is None or replies[0] is None:
            return
        waiting = content[_IN_FLIGHT_PLACES[self.kind]] if self.kind in _IN_FLIGHT_PLACES else 0
        tried, back = max(sent - (waiting or 0), 0), sum(each or 0 for each in replies)
        self.sent += tried
        self.answered += back
        self.known += tried > 0
        self.down += tried > 0 and back <= 0

    def _count_spread(self, spread: Spread, told: list[int | None], content: Content) -> None:
        if self.kind == "interface":
            period_ms = content[_PERIOD_PLACE]
            told = [_kbps(each, period_ms) for each in told]
        samples = told[4] if len(told) > 4 else 1
        values = [each for each in told[:4] if each is not None]
        if not samples or len(values) < 4:
            return
        median, low, high, mean = values
        spread.samples += samples
        spread.total += mean * samples
        spread.lows.append(low)
        spread.highs.append(high)
        spread.medians.append(median)

    def add(self, other: Tally) -> None:
        """Take in what another period has."""
        for name in ("readings", "measured", "known", "down", "sent", "answered"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for spread, more in zip(self.spreads, other.spreads, strict=True):
            spread.add(more)

    def differences(self, given: Summary) -> list[str]:
        """How a rollup's summary differs from this."""
        names = ("readings", "measured", "known", "down", "sent", "answered")
        found = [
            f"{name}: recomputed {getattr(self, name)}, stored {getattr(given, name)}"
            for name in names
            if getattr(self, name) != getattr(given, name)
        ]
        stored = (*given.measures, *(None,) * len(self.spreads))
        for number, spread in enumerate(self.spreads):
            name = _MEASURES[self.kind][number].split()[0]
            found += spread.differences(name, stored[number])
        return found


Figures = Mapping[tuple[str, str], Tally]
"""By link and kind."""
