"""When a reply will really leave, for it must carry that time before it does."""

from __future__ import annotations

from collections import deque

REMEMBERED = 15
ENOUGH = 5
"""The first replies of all take longer than those that follow."""
LONGEST_NS = 1_000_000
"""A longer lag is an accident, a queue or a clock that stepped, and says nothing about the next reply."""


class Departure:
    """The lag between reading the clock and the interface, from the kernel's stamps of earlier replies.

    A Session-Reflector's timestamp is to be as close to the transmission as possible (RFC 8762 section
    4.3.1). The way through the kernel takes tens of microseconds, which would all count as the link's.
    """

    def __init__(self) -> None:
        self._lags: deque[int] = deque(maxlen=REMEMBERED)
        self.lag_ns = 0
        """Smallest of the last lags, ns: more would make the link seem faster than it is; 0 until known."""

    def learn(self, lag_ns: int) -> None:
        """Take in how long one reply took, ns."""
        if 0 <= lag_ns <= LONGEST_NS:
            self._lags.append(lag_ns)
            self.lag_ns = min(self._lags) if len(self._lags) >= ENOUGH else 0
