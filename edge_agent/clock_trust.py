"""Whether the wall clock is believed: from look to look, what it says of itself and how it was set."""

from __future__ import annotations

import logging
import math
import time
from collections import deque

from edge_agent.clock import Look, moved_s

EARLIEST_MS = 1_672_531_200_000
"""2023-01-01 UTC: no gateway of this product is older, whatever its kernel calls synchronised."""
DOUBT_S = 60.0
"""A believed clock that is set by more than this is not believed at once."""
PATIENCE_S = 300.0
"""How long it must then stay as it is, unless it comes back before."""

log = logging.getLogger(__name__)


class Seldom:
    """Lets at most ``most`` things be said within ``within_s``."""

    def __init__(self, most: int, within_s: float = 3600) -> None:
        self._said: deque[float] = deque(maxlen=most)
        self._most = most
        self._within_s = within_s

    def may(self, now_s: float) -> bool:
        """Whether it may be said now; counted when it may."""
        if len(self._said) == self._most and now_s - self._said[0] < self._within_s:
            return False
        self._said.append(now_s)
        return True


class Trust:
    """Follows one clock through one boot, from the agent's start.

    A clock is believed while the kernel calls it synchronised. When a believed clock is set by more than
    DOUBT_S (a false server, a week rollover of GPS, a hand), it is believed again when it comes back, or when
    it has stayed for PATIENCE_S and is synchronised. Meanwhile, and whenever else it has lost its
    synchronisation, time is kept by the time since boot, from where it was believed last.
    """

    def __init__(self, first: Look, wait_s: float) -> None:
        """``wait_s``: how long readings wait for the first synchronisation, and after a step at most."""
        self._first = self._last = first
        self._patience_s = min(wait_s, PATIENCE_S)
        self._hold_until_s = first.since_boot_s + wait_s
        self._was_believed = False
        self._set_s = 0.0
        """By how much the clock was set since it was believed last."""
        self._doubted_s: float | None = None
        """Since when it has stood where it is doubted."""
        self._told = True
        self._states, self._steps = Seldom(6), Seldom(6)
        self._believed = False
        self.see(first)
        if not self._believed:
            self._tell_unsynced(wait_s)

    def see(self, look: Look) -> bool:
        """Whether the clock is believed now."""
        moved, self._last = moved_s(self._last, look), look
        if moved:
            self._take_step(moved, look)
        if look.synced and self._has_stayed(look):
            self._doubted_s = None
        self._believed = self._is_believed(look)
        if self._believed:
            self._was_believed, self._set_s, self._hold_until_s = True, 0.0, -math.inf
        self._tell(look)
        return self._believed

    @property
    def believed(self) -> bool:
        """Whether it was, at the last look."""
        return self._believed

    def waits(self, look: Look) -> bool:
        """Whether readings should wait for the clock to be believed."""
        return not self._believed and look.since_boot_s < self._hold_until_s

    def ahead_s(self, look: Look) -> float | None:
        """What to add to a time since boot for the wall time; None when it was never believed."""
        return look.ahead_s - self._set_s if self._was_believed else None

    def _has_stayed(self, look: Look) -> bool:
        return self._doubted_s is not None and look.since_boot_s - self._doubted_s >= self._patience_s

    def _is_believed(self, look: Look) -> bool:
        return look.synced and look.wall_ms >= EARLIEST_MS and self._doubted_s is None

    def _take_step(self, moved: float, look: Look) -> None:
        self._set_s += moved
        if abs(moved) > DOUBT_S:
            self._doubt(look)
        if self._was_believed and self._steps.may(look.since_boot_s):
            is_doubted = self._doubted_s == look.since_boot_s
            doubt = f"; not believed for {self._patience_s:g} s" if is_doubted else ""
            log.warning("the clock was set by %s%s", _in_words(moved), doubt)

    def _doubt(self, look: Look) -> None:
        if self._doubted_s is not None:
            self._doubted_s = None if abs(self._set_s) <= DOUBT_S else look.since_boot_s
        elif self._believed and self._patience_s > 0:
            self._doubted_s = look.since_boot_s
            self._hold_until_s = look.since_boot_s + self._patience_s

    def _tell_unsynced(self, wait_s: float) -> None:
        says = time.strftime("%Y-%m-%d %H:%M", time.gmtime(self._first.wall_ms // 1000))
        wait = f"readings wait up to {wait_s:g} s for it, then" if wait_s else "readings"
        log.warning(
            "the clock is not synchronised (it says %s UTC): %s go out with times marked as such", says, wait
        )
        self._told = False

    def _tell(self, look: Look) -> None:
        """Log a change of state, in the end the last one, and a flickering one seldom."""
        if self._told == self._believed or not self._states.may(look.since_boot_s):
            return
        self._told = self._believed
        if self._believed:
            moved = look.ahead_s - self._first.ahead_s
            log.info("the clock is synchronised; since the start it has moved by %s", _in_words(moved))
        elif self._doubted_s is None and self._was_believed:
            log.warning("the clock is not synchronised any more: times are marked as such")


def _in_words(seconds: float) -> str:
    return f"{seconds:+.1f} s" if abs(seconds) < 86_400 else f"{seconds / 86_400:+.1f} days"
