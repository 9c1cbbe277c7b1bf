"""Which part of a ledger is durable, and which is not yet."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from edge_agent.budget.ledger_file import Kept, LedgerDamaged, LedgerFile

log = logging.getLogger(__name__)


class Keeping:
    """Writes a ledger's file and knows by how much it lags; only the writing may be on another thread."""

    def __init__(self, file: LedgerFile, margin: int) -> None:
        self._file = file
        self._margin = margin
        self._noted: dict[str, int] = {}
        self._saved: dict[str, int] = {}
        """How much of what was noted is in the file."""
        self._serial = 0
        self._written = 0
        self._lock = threading.Lock()
        self.trouble = ""
        """Why the file cannot be written; empty when it can."""

    def read(self) -> Kept | None:
        """What was kept; raises LedgerDamaged, also when the disk does not give it."""
        try:
            kept = self._file.read()
        except OSError as exc:
            raise LedgerDamaged(f"{self._file.path}: {exc.strerror}") from exc
        self._serial = kept.serial if kept else 0
        return kept

    def next_serial(self) -> int:
        """The number of the next writing."""
        self._serial += 1
        return self._serial

    def note(self, meter: str, size: int) -> None:
        """So many bytes more are not in the file."""
        self._noted[meter] = self._noted.get(meter, 0) + size

    def unsaved(self, meter: str) -> int:
        """Bytes booked on an interface and not known to be in the file."""
        return self._noted.get(meter, 0) - self._saved.get(meter, 0)

    def begin(self, kept: Kept) -> Callable[[], tuple[Mapping[str, int], str | None]]:
        """What writes that state, on any thread; its result is for ``done``."""
        data, serial, held = kept.encode(), kept.serial, dict(self._noted)

        def write() -> tuple[Mapping[str, int], str | None]:
            with self._lock:
                if serial < self._written:
                    return {}, ""  # a later state is in the file already
                try:
                    self._file.write(data)
                except OSError as exc:
                    return {}, exc.strerror or str(exc)
                self._written = serial
            return held, None

        return write

    def done(self, held: Mapping[str, int], trouble: str | None) -> bool:
        """Take note of how a writing ended; whether the file is written."""
        if trouble == "":
            return True
        if trouble and not self.trouble:
            log.error("the ledger of the data budget cannot be written: %s", trouble)
        elif trouble is None and self.trouble:
            log.info("the ledger of the data budget is written again")
        self.trouble = trouble or ""
        for meter, size in held.items():
            self._saved[meter] = max(self._saved.get(meter, 0), size)
        return trouble is None
