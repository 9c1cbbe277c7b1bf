"""What the fleet has generated, kept for the audit: one JSON line for each reading that was accepted."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from edge_agent.contract import Reading, describe_reading
from simulator.target import SimulatorError

_LINE = json.JSONEncoder(separators=(",", ":")).encode


class Truth:
    """A file of accepted readings; on disk for sure once it is closed."""

    def __init__(self, path: Path) -> None:
        """Open the file anew; raises SimulatorError when that cannot be."""
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w", encoding="utf-8")
        except OSError as exc:
            raise SimulatorError(f"{path}: {exc.strerror}") from exc

    def __enter__(self) -> Truth:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, gateway: str, readings: Sequence[Reading]) -> None:
        """Note the readings of a gateway; raises SimulatorError when the disk does not take them."""
        lines = (_LINE({"gateway": gateway, **describe_reading(reading)}) + "\n" for reading in readings)
        try:
            self._file.write("".join(lines))
        except OSError as exc:
            raise SimulatorError(f"{self.path}: {exc.strerror}") from exc

    def close(self) -> None:
        """Write what is buffered and wait until the disk has it."""
        try:
            with self._file:
                self._file.flush()
                os.fsync(self._file.fileno())
        except OSError as exc:
            raise SimulatorError(f"{self.path}: {exc.strerror}") from exc
