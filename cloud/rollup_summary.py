"""What the readings of one kind on one link say of a period: exact integers that merge (pure).

A reading is a round of several round trips. Minimum, maximum and mean are over the round trips, the
quantiles over the rounds' medians. Nothing is divided before it is shown, so sums of 5 minutes are
those of their hour to the digit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cloud import health
from cloud import sketch as sketches
from cloud.sketch import Sketch
from edge_agent.contract import KINDS, Outcome, Reading


@dataclass(frozen=True, slots=True)
class Quantity:
    """A quantity of a kind, with the columns of a reading that tell it."""

    name: str
    typical: str
    """What the quantiles are of."""
    low: str
    high: str
    mean: str
    weight: str = ""
    """How many samples the mean is of; "" for one."""
    per_ms: str = ""
    """The column of the time, ms, that an amount in bytes is divided by, for a rate in kbit/s."""


def _times(name: str, weight: str) -> Quantity:
    low, typical, high, mean = (f"{name}_{part}_us" for part in ("min", "p50", "max", "mean"))
    return Quantity(f"{name}_us", typical, low, high, mean, weight)


def _single(name: str) -> Quantity:
    return Quantity(name, name, name, name, name)


def _traffic(name: str) -> Quantity:
    column = f"{name}_bytes"
    return Quantity(f"{name}_kbps", column, column, column, column, per_ms="period_ms")


QUANTITIES: Mapping[str, tuple[Quantity, ...]] = {
    "echo": (_times("rtt", "received"),),
    "stamp": (_times("rtt", "received"),),
    "connect": (_times("connect", "connected"),),
    "http": (_single("first_byte_us"),),
    "dns": (_times("lookup", "answered"),),
    "interface": (_traffic("rx"), _traffic("tx")),
    "capacity": (_single("capacity_kbps"),),
    "bulk": (_single("goodput_kbps"),),
    "host": (_single("cpu_permille"), _single("temperature_ck")),
}
"""By kind; only ever appended to, for stored rollups know them by their place. Other kinds are counted."""
_PLACES = {
    name: {column.name: place for place, column in enumerate(kind.columns)} for name, kind in KINDS.items()
}


@dataclass(frozen=True, slots=True)
class Measure:
    """A quantity over a period, in the unit of its name."""

    rounds: int
    """Readings that told it."""
    samples: int
    """Samples behind the sum."""
    total: int
    """Sum of the samples: the means of the rounds, each as often as it has samples."""
    low: int
    high: int
    sketch: Sketch
    """Of the rounds' medians."""

    @property
    def mean(self) -> int:
        """Mean of the samples, rounded half up."""
        return (2 * self.total + self.samples) // (2 * self.samples)

    def quantile(self, permille: int) -> int:
        """Quantile of the rounds' medians within 1 %, and within what was measured."""
        return min(max(self.sketch.quantile(permille) or 0, self.low), self.high)


@dataclass(frozen=True, slots=True)
class Summary:
    """The readings of one kind on one link in a period."""

    link: str
    kind: str
    readings: int
    measured: int
    """Readings that could measure; the rest is unknown, which is neither loss nor down."""
    known: int
    """Readings that tell up from down."""
    down: int
    """Readings that say that nothing gets through."""
    sent: int
    """Round trips whose outcome is known."""
    answered: int
    """Round trips answered, in time or late."""
    measures: tuple[Measure | None, ...]
    """One for each of QUANTITIES; None when no round told it."""

    @property
    def lost(self) -> int:
        """Round trips that nothing came back for."""
        return max(self.sent - self.answered, 0)


def summarise(readings: Iterable[Reading]) -> tuple[Summary, ...]:
    """A summary of each kind and link, by link and kind; the order of the readings does not matter."""
    groups: dict[tuple[str, str], list[Reading]] = {}
    for reading in readings:
        groups.setdefault((reading.link, reading.kind), []).append(reading)
    return tuple(_summary(link, kind, group) for (link, kind), group in sorted(groups.items()))


def _summary(link: str, kind: str, readings: Sequence[Reading]) -> Summary:
    measured = [each for each in readings if each.outcome is Outcome.MEASURED]
    counted = health.total(each for each in map(health.tally, measured) if each)
    down = [each for each in map(health.is_down, measured) if each is not None]
    measures = tuple(_measure(quantity, kind, measured) for quantity in QUANTITIES.get(kind, ()))
    return Summary(
        link,
        kind,
        len(readings),
        len(measured),
        len(down),
        sum(down),
        counted.sent,
        counted.answered,
        measures,
    )


def _measure(quantity: Quantity, kind: str, readings: Sequence[Reading]) -> Measure | None:
    places = _PLACES[kind]
    names = (quantity.typical, quantity.low, quantity.high, quantity.mean)
    columns = [places[name] for name in names]
    weight, period = places.get(quantity.weight), places.get(quantity.per_ms)
    rounds = []
    for reading in readings:
        values = reading.values
        samples = 1 if weight is None else values[weight]
        told = [values[column] for column in columns]
        if period is not None:
            told = [_rate(value, values[period]) for value in told]
        if samples and None not in told:
            rounds.append((samples, *(value or 0 for value in told)))
    if not rounds:
        return None
    weights, typical, low, high, mean = zip(*rounds, strict=True)
    total = sum(each * samples for each, samples in zip(mean, weights, strict=True))
    return Measure(len(rounds), sum(weights), total, min(low), max(high), sketches.sketch(typical))


def _rate(amount: int | None, period_ms: int | None) -> int | None:
    """Bytes in so many ms as kbit/s, at most what a sketch can hold."""
    return None if amount is None or not period_ms else min(amount * 8 // period_ms, sketches.MAX_VALUE)


def merge(summaries: Iterable[Summary]) -> tuple[Summary, ...]:
    """The summaries of a longer period, from those of its parts."""
    groups: dict[tuple[str, str], list[Summary]] = {}
    for each in summaries:
        groups.setdefault((each.link, each.kind), []).append(each)
    return tuple(_merged(group) for _, group in sorted(groups.items()))


def _merged(parts: Sequence[Summary]) -> Summary:
    if len(parts) == 1:
        return parts[0]
    counts = [
        sum(getattr(part, name) for part in parts)
        for name in ("readings", "measured", "known", "down", "sent", "answered")
    ]
    width = max(len(part.measures) for part in parts)
    columns = ([part.measures[at] for part in parts if at < len(part.measures)] for at in range(width))
    readings, measured, known, down, sent, answered = counts
    measures = tuple(map(_merged_measure, columns))
    return Summary(parts[0].link, parts[0].kind, readings, measured, known, down, sent, answered, measures)


def _merged_measure(parts: Iterable[Measure | None]) -> Measure | None:
    told = [part for part in parts if part]
    if not told:
        return None
    return Measure(
        sum(part.rounds for part in told),
        sum(part.samples for part in told),
        sum(part.total for part in told),
        min(part.low for part in told),
        max(part.high for part in told),
        sketches.merged(part.sketch for part in told),
    )
