"""What a function writes: kept in a file of bounded size, its embedded metrics counted.

The metric format is "Embedded metric format specification" of the Amazon CloudWatch user guide.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from infrastructure.local.function.invocation import Counting

LOG_LIMIT = 10 * 1024 * 1024
LINE_LIMIT = 256 * 1024
"""Bytes of one log event (CloudWatch Logs quotas)."""


class LogWriter(Protocol):
    """Somewhere to write a function's output; called from several threads."""

    def write(self, data: bytes, /) -> object:
        """Append whole lines."""


class LogFile:
    """A file that is renamed to <name>.1 when it grows beyond its limit."""

    def __init__(self, path: Path, limit: int = LOG_LIMIT) -> None:
        self._path = path
        self._limit = limit
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, data: bytes, /) -> None:
        """Append whole lines; on a full disk they are lost, which must not stop the function."""
        with self._lock, suppress(OSError), self._path.open("ab") as file:
            file.write(data)
            if file.tell() < self._limit:
                return
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))


def count_metrics(line: bytes, counters: Counting) -> None:
    """Add the values of a line in embedded metric format to `metric.<Name>`; other lines are left alone."""
    if not line.startswith(b"{") or b'"_aws"' not in line:
        return
    try:
        document = json.loads(line)
    except ValueError:
        return
    for name in _metric_names(document):
        values = document.get(name)
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, int | float) and not isinstance(value, bool):
                counters.add(f"metric.{name}", round(value))


def _metric_names(document: Any) -> Iterator[str]:
    """Each metric of a document once, however many namespaces and dimension sets it is declared in."""
    declared = document.get("_aws") if isinstance(document, dict) else None
    directives = declared.get("CloudWatchMetrics") if isinstance(declared, dict) else None
    names: dict[str, None] = {}
    for directive in directives if isinstance(directives, list) else []:
        metrics = directive.get("Metrics") if isinstance(directive, dict) else None
        for metric in metrics if isinstance(metrics, list) else []:
            if isinstance(metric, dict) and isinstance(metric.get("Name"), str):
                names[metric["Name"]] = None
    yield from names
