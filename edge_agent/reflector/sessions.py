"""How many replies each STAMP session has had; bounded, and forgotten when silent."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

MOST_SESSIONS = 4_096
"""The one silent for longest makes room for a new one."""
FORGET_AFTER_S = 60.0
"""How long a session may be silent; longer than our senders' longest spacing."""

_NUMBERS = 1 << 32
"""After which they begin again, as they do on the wire."""

Key = tuple[str, int, int]
"""The sender's address and port, and its session id."""


class Sessions:
    """Numbers replies from 0 for each session (RFC 8762 section 4.3)."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._known: OrderedDict[Key, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def next(self, key: Key) -> int:
        """The number of the session's next reply, which ``sent`` uses up."""
        count, at = self._known.get(key, (0, 0.0))
        return count if self._monotonic() - at < FORGET_AFTER_S else 0

    def sent(self, key: Key, number: int) -> None:
        """Note that the reply of this number left; makes room for it first."""
        now = self._monotonic()
        while self._known and self._is_old(now):
            self._known.popitem(last=False)
        self._known[key] = (number + 1) % _NUMBERS, now
        self._known.move_to_end(key)

    def _is_old(self, now: float) -> bool:
        """Whether the session silent for longest has to go."""
        _, at = next(iter(self._known.values()))
        return len(self._known) >= MOST_SESSIONS or now - at >= FORGET_AFTER_S
