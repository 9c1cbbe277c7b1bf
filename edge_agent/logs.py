"""Where the agent's own words go: stderr, in journald's form when journald reads it."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping

_PRIORITIES = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}


class _JournalFormatter(logging.Formatter):
    """A priority in front of each line (sd-daemon(3)); journald itself adds the time."""

    def format(self, record: logging.LogRecord) -> str:
        return f"<{_PRIORITIES.get(record.levelname, 6)}>{super().format(record)}"


def set_up(level: str, environment: Mapping[str, str]) -> None:
    """Log to stderr from ``level`` up (debug, info, warning, error)."""
    handler = logging.StreamHandler(sys.stderr)
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
