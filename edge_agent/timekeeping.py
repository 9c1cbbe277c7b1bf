"""The time of readings, whatever the wall clock does: nothing waits for ever, nothing poses as synchronised.

A reading that was taken while the wall clock was not believed (edge_agent.clock_trust) carries its boot and
the time since (Taken); its wall time is settled when it is sealed:

- The clock is believed by then, in the same boot: wall time less the time since. RESTAMPED, CLOCK_SYNCED.
- It is not, but the agent started less than ``wait_s`` ago: the reading waits.
- After that: without CLOCK_SYNCED, by what the clock says now, but never before the floor. The floor is the
  newest wall time that the spool knows, plus what has passed in this boot since the agent started: that much
  is certain, whereas the boot may be older than what the spool knows.
- It is of an earlier boot that never came to it: its clock and this one have nothing in common, and how long
  the machine was off is not known. It was taken after what the spool held then, and before this boot. So it
  keeps its time where that fits in between, else it has the earliest that fits: the floor, plus what had
  passed in its boot since the first of its readings that is left. Without CLOCK_SYNCED.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace

from edge_agent.clock import Clock, Look
from edge_agent.clock_trust import DOUBT_S, Trust
from edge_agent.contract import Flag, Reading
from edge_agent.taken import Taken, take

SAME_MS = 100
"""A clock that nobody set since says the time of a reading again but for its slewing and rounding."""
BOOTS_MAX = 64
"""Earlier boots whose floor is remembered."""


class Timekeeper:
    """A Clock that says only what it can stand for; may be called from any thread."""

    def __init__(self, clock: Clock, wait_s: float, floor_ms: int) -> None:
        """``wait_s`` from now readings wait for a synchronisation; ``floor_ms`` is the newest time known."""
        self._clock = clock
        self._lock = threading.Lock()
        first = clock.look()
        self._boot = clock.boot_id()
        self._trust = Trust(first, wait_s)
        self._newest_ms = max(floor_ms, 0)
        """Of all that was settled and is not of this boot."""
        self._begin_ms = _since_ms(first)
        self._floor_ms = self._newest_ms
        """It was no earlier than this when this boot was ``_begin_ms`` old."""
        self._booted_ms = 0
        """It was no earlier than this when this boot began."""
        self._earlier: OrderedDict[str, tuple[int, int]] = OrderedDict()
        """``_begin_ms`` and ``_floor_ms`` of earlier boots."""

    def know(self, floor_ms: int) -> None:
        """Learn the newest time known after the start: from a spool that could not be opened before."""
        with self._lock:
            self._newest_ms = max(self._newest_ms, floor_ms)
            # A time that is no later than the one kept here may be of this agent's own making.
            if floor_ms > self._lowest_ms(_since_ms(self._seen())):
                self._floor_ms = floor_ms

    def wall_ms(self) -> int:
        """The best guess at the time now, ms since 1970 UTC; never below the floor while not believed."""
        return self.look().wall_ms

    def monotonic(self) -> float:
        """Seconds since boot, suspended time included."""
        return self._clock.monotonic()

    def synced(self) -> bool:
        """Whether the wall clock is synchronised and believed."""
        return self.look().synced

    def error_ns(self) -> int | None:
        """By how much the wall clock may be wrong, ns; None while it is not believed, or not known."""
        return self._clock.error_ns() if self.synced() else None

    def boot_id(self) -> str:
        """Names this boot."""
        return self._boot

    def look(self) -> Look:
        """All of it at one moment; ``ahead_s`` is the bare clock's, so that a step shows."""
        with self._lock:
            look = self._seen()
            return look._replace(wall_ms=self._now_ms(look), synced=self._trust.believed)

    def take(self, reading: Reading) -> Taken:
        """The reading as taken now, whatever time it has."""
        return take(reading, self.look(), self._boot)

    def settle(self, taken: Taken) -> Reading | None:
        """The reading with its final time, or None while it is worth waiting; again, it gives the same.

        Readings are settled in the order in which they were taken.
        """
        with self._lock:
            look = self._seen()
            if not taken.boot and Flag.CLOCK_SYNCED in taken.reading.flags:
                return self._synced(taken.reading, look)
            if not taken.boot:
                return self._of_nobody(taken.reading, look)
            if taken.boot != self._boot:
                return _stamped(taken.reading, self._of_earlier_boot(taken, look))
            if self._trust.waits(look):
                return None
            at_ms = self._of_this_boot(taken, look)
            flags = Flag.CLOCK_SYNCED | Flag.RESTAMPED if self._trust.believed else Flag.NONE
            return _stamped(taken.reading, at_ms, flags)

    def _seen(self) -> Look:
        look = self._clock.look()
        self._trust.see(look)
        return look

    def _now_ms(self, look: Look) -> int:
        if self._trust.believed:
            return look.wall_ms
        ahead_s = self._trust.ahead_s(look)
        if ahead_s is None:
            return max(look.wall_ms, self._lowest_ms(_since_ms(look)))
        return max(round((ahead_s + look.since_boot_s) * 1000), 0)

    def _lowest_ms(self, since_boot_ms: int) -> int:
        floor_ms = self._floor_ms + max(since_boot_ms - self._begin_ms, 0)
        return max(floor_ms, self._booted_ms + since_boot_ms)

    def _synced(self, reading: Reading, look: Look) -> Reading | None:
        """A reading of a synchronised clock: as it is, unless that clock turns out to have run ahead."""
        if self._trust.ahead_s(look) is None:  # then it was taken before this agent started
            self._newest_ms = max(self._newest_ms, reading.at_ms)
            self._floor_ms = max(self._floor_ms, reading.at_ms)
        elif reading.at_ms > look.wall_ms + DOUBT_S * 1000:
            if self._trust.believed:
                return _stamped(reading, look.wall_ms, Flag.CLOCK_STEPPED)
            if self._trust.waits(look):
                return None
        return reading

    def _of_nobody(self, reading: Reading, look: Look) -> Reading:
        """What the spool tells of itself, by a clock that nobody doubts or vouches for."""
        now_ms = self._now_ms(look)
        fits = self._newest_ms <= reading.at_ms <= now_ms
        return reading if fits else replace(reading, at_ms=now_ms)

    def _of_this_boot(self, taken: Taken, look: Look) -> int:
        ahead_s, since_boot_ms = self._trust.ahead_s(look), taken.since_boot_ms
        if ahead_s is None:
            # Taken before the agent was started anew: then the floor holds from there on.
            self._begin_ms = min(self._begin_ms, since_boot_ms)
            said_ms = round(look.ahead_s * 1000) + since_boot_ms
            if abs(said_ms - taken.reading.at_ms) <= SAME_MS:
                said_ms = taken.reading.at_ms
            return min(max(said_ms, self._lowest_ms(since_boot_ms)), self._now_ms(look))
        return min(round(ahead_s * 1000) + since_boot_ms, self._now_ms(look))

    def _of_earlier_boot(self, taken: Taken, look: Look) -> int:
        begin_ms, floor_ms = self._earlier.setdefault(taken.boot, (taken.since_boot_ms, self._newest_ms))
        if len(self._earlier) > BOOTS_MAX:
            self._earlier.popitem(last=False)
        lowest_ms = floor_ms + max(taken.since_boot_ms - begin_ms, 0)
        latest_ms = self._now_ms(look)
        was_believed = self._trust.ahead_s(look) is not None
        if was_believed:
            latest_ms = max(latest_ms - _since_ms(look), 0)
            lowest_ms = min(lowest_ms, latest_ms)
        fits = lowest_ms <= taken.reading.at_ms <= latest_ms
        at_ms = taken.reading.at_ms if fits else lowest_ms
        self._newest_ms = max(self._newest_ms, at_ms)
        if not was_believed:
            self._booted_ms = max(self._booted_ms, at_ms)
        return at_ms


def _since_ms(look: Look) -> int:
    return int(look.since_boot_s * 1000)


def _stamped(reading: Reading, at_ms: int, flags: Flag = Flag.NONE) -> Reading:
    return replace(reading, at_ms=at_ms, flags=reading.flags & ~Flag.CLOCK_SYNCED | flags)
