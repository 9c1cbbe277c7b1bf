"""How often a link is probed when its probe may adapt: sooner while it changes, later while it is quiet."""

from __future__ import annotations

from collections.abc import Mapping

from edge_agent.contract import KINDS, Flag, Outcome, Reading

FASTEST, SLOWEST = 0.25, 4.0
"""The limits of the interval, in periods."""
RELAX = 1.25
"""How much longer the interval becomes with each quiet round."""
SAVED_MAX = 100.0
"""Rounds that a quiet time may save up for a restless one."""

_TIMES = ("rtt_p50_us", "connect_p50_us", "lookup_p50_us", "first_byte_us")
_ANSWERS = ("received", "connected", "answered")
_STATES = ("up", "speed_kbps", "full_duplex", "status", "rcode")


class Level:
    """The usual value of a figure and its usual variation, followed as RFC 6298 section 2 follows a RTT."""

    def __init__(self, share: float = 0, least: float = 0) -> None:
        """A shift is more than the usual variation, than ``share`` of the value and than ``least``."""
        self._share = share
        self._least = least
        self._usual: float | None = None
        self._variation = 0.0

    def is_shift(self, value: float) -> bool:
        """Whether the value is not a usual one; it takes part in what is usual from then on."""
        if self._usual is None:
            self._usual, self._variation = value, value / 2
            return False
        distance = abs(value - self._usual)
        shifted = distance > max(4 * self._variation, self._share * self._usual, self._least)
        self._variation += (distance - self._variation) / 4
        self._usual += (value - self._usual) / 8
        return shifted


class Watch:
    """Tells from the readings of one series whether its link changes."""

    def __init__(self) -> None:
        self._time = Level(share=0.05, least=200)
        self._loss = Level()
        self._state: tuple[object, ...] | None = None

    def is_change(self, reading: Reading) -> bool:
        """Whether the link is not as it was: outcome, path, state, loss or median time."""
        columns = (column.name for column in KINDS[reading.kind].columns)
        figures = dict(zip(columns, reading.values, strict=True))
        lost = _lost(figures)
        # A link that is gone and back is changing, however usual that has become.
        state = (reading.outcome, lost == 1, *map(figures.get, _STATES))
        changed = self._state not in (None, state)
        self._state = state
        if reading.outcome is Outcome.MEASURED:
            shifts = [self._shifted(self._loss, lost), self._shifted(self._time, _time(figures))]
            changed = changed or any(shifts)
        moved = Flag.PATH_CHANGED in reading.flags or figures.get("changed") == 1
        return changed or moved

    @staticmethod
    def _shifted(level: Level, value: float | None) -> bool:
        return value is not None and level.is_shift(value)


class Pace:
    """The interval between the rounds of one series, within what its fixed period would have cost.

    Each round costs one, each period earns one, and at most SAVED_MAX are kept: in any time T there are
    no more than T / period + SAVED_MAX + 1 rounds, and none more than the fixed period's since the start.
    """

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._watch = Watch()
        self._factor = 1.0
        self._saved = 0.0
        self._last_s: float | None = None

    def interval_s(self, at_s: float, reading: Reading) -> float:
        """How long after the round at ``at_s``, which gave this reading, the next one is due, s."""
        if self._last_s is not None:
            earned = (at_s - self._last_s) / self._period_s
            self._saved = min(self._saved + earned - 1, SAVED_MAX)
        self._last_s = at_s
        changed = self._watch.is_change(reading)
        self._factor = FASTEST if changed else min(self._factor * RELAX, SLOWEST)
        return max(self._factor, 1 - self._saved) * self._period_s


def _lost(figures: Mapping[str, int | None]) -> float | None:
    sent = figures.get("sent")
    answers = [value for name in _ANSWERS if (value := figures.get(name)) is not None]
    return 1 - answers[0] / sent if sent and answers else None


def _time(figures: Mapping[str, int | None]) -> float | None:
    return next((value for name in _TIMES if (value := figures.get(name)) is not None), None)
