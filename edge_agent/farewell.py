"""The latest moment at which the agent ends, whatever hangs: a disk, a name look-up, a library's thread."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import NoReturn

STOP_S = 25.0
"""From the signal on; systemd kills after TimeoutStopSec=30."""

log = logging.getLogger(__name__)

Leave = Callable[[int], object]


def _leave(status: int) -> NoReturn:
    os._exit(status)


class Farewell:
    """Ends the process a set time after it was told to stop, should it still be there."""

    def __init__(self, within_s: float = STOP_S, leave: Leave = _leave) -> None:
        self._within_s = within_s
        self._leave = leave
        self._begun = threading.Lock()
        self.is_all_kept = False
        """Whether all readings were committed: then a forced end costs nothing, and its exit status is 0."""

    def begin(self) -> None:
        """Let the time run; only the first call does."""
        if self._begun.acquire(blocking=False):
            # A daemon: it must not keep alive the process that it is there to end.
            threading.Thread(target=self._wait, name="farewell", daemon=True).start()

    def _wait(self) -> None:
        # Nobody sets it: a sleep of its own, that no signal and no event loop cuts short.
        threading.Event().wait(self._within_s)
        log.error("still busy %.0f s after the signal to stop: ended by force", self._within_s)
        self._leave(0 if self.is_all_kept else 1)
