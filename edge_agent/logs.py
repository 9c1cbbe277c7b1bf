"""Where the agent's own words go: stderr, in journald's form when journald reads it, and never in floods."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TextIO

SAME_AN_HOUR = 5
"""How often one and the same line is said in an hour."""
ALIKE_AN_HOUR = 60
"""How often lines are said in an hour that differ in their figures and names alone."""
KEYS_MAX = 1_000
"""Lines that are remembered; beyond them the oldest are forgotten."""
HOUR_S = 3600.0
_PRIORITIES = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}


@dataclass(slots=True)
class _Said:
    """What was said of one message since its hour began."""

    begun_s: float
    record: logging.LogRecord
    times: int = 0
    held_back: int = 0


class Bounded(logging.StreamHandler[TextIO]):
    """Says the same at most so often an hour; then how often it was repeated."""

    def __init__(self, stream: TextIO, now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self._now_s = now_s
        self._said: dict[tuple[str, ...], _Said] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line unless it was said too often within the hour."""
        now_s = self._now_s()
        for said in self._over(now_s):
            self._sum_up(said)
        if record.levelno <= logging.DEBUG or self._may(record, now_s):
            super().emit(record)

    def close(self) -> None:
        """Say what was held back."""
        for said in self._said.values():
            self._sum_up(said)
        self._said.clear()
        super().close()

    def _may(self, record: logging.LogRecord, now_s: float) -> bool:
        alike = self._of(("alike", record.name, str(record.msg)), record, now_s)
        same = self._of(("same", record.name, record.getMessage()), record, now_s)
        if same.times >= SAME_AN_HOUR:
            same.held_back += 1
            return False
        if alike.times >= ALIKE_AN_HOUR:
            alike.held_back += 1
            return False
        same.times += 1
        alike.times += 1
        return True

    def _of(self, key: tuple[str, ...], record: logging.LogRecord, now_s: float) -> _Said:
        said = self._said.get(key)
        if said is None:
            if len(self._said) >= KEYS_MAX:
                self._sum_up(self._said.pop(next(iter(self._said))))
            said = self._said[key] = _Said(now_s, record)
        said.record = record
        return said

    def _over(self, now_s: float) -> Iterator[_Said]:
        """Those whose hour is over, forgotten; they lie in the order in which their hours began."""
        while self._said:
            key, said = next(iter(self._said.items()))
            if now_s - said.begun_s < HOUR_S:
                return
            del self._said[key]
            yield said

    def _sum_up(self, said: _Said) -> None:
        if not said.held_back:
            return
        last = said.record
        text = f"{last.getMessage()} (repeated {said.held_back} times within an hour)"
        super().emit(logging.LogRecord(last.name, last.levelno, last.pathname, last.lineno, text, (), None))


class _JournalFormatter(logging.Formatter):
    """A priority in front of each line (sd-daemon(3)); journald itself adds the time."""

    def format(self, record: logging.LogRecord) -> str:
        return f"<{_PRIORITIES.get(record.levelname, 6)}>{super().format(record)}"


def set_up(level: str, environment: Mapping[str, str]) -> None:
    """Log to stderr from ``level`` up (debug, info, warning, error); again only the level changes.

    So a reload forgets nothing of what was said too often.
    """
    root = logging.getLogger()
    root.setLevel(level.upper())
    if any(isinstance(each, Bounded) for each in root.handlers):
        return
    handler = Bounded(sys.stderr)
    if _is_journal(environment):
        handler.setFormatter(_JournalFormatter("%(message)s"))
    else:
        formatter = logging.Formatter("%(asctime)sZ %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
        handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def _is_journal(environment: Mapping[str, str]) -> bool:
    """Whether stderr is the journal's own stream: the variable is inherited by shells whose stderr is not."""
    try:
        stream = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{stream.st_dev}:{stream.st_ino}"
