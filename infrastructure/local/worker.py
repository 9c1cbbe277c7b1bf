"""A thread whose death is seen."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class Worker:
    """Runs a function in a thread and keeps what ended it."""

    def __init__(self, name: str, run: Callable[[], None]) -> None:
        self._run = run
        self._ended = ""
        self._thread = threading.Thread(target=self._watch, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; whether it has come."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def failure(self) -> str:
        """The exception that ended the thread, in one line; empty while it runs or when it ended well."""
        return self._ended

    def _watch(self) -> None:
        try:
            self._run()
        # Whatever it is, it ends this part and is reported by name; nothing is swallowed.
        except BaseException as exc:
            log.exception("%s has failed", self._thread.name)
            self._ended = f"{type(exc).__name__}: {exc}"
