"""How far a shard has been processed without a gap. No effects."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from infrastructure.local.mapping.stream import Record


class Progress:
    """The checkpoint of a shard whose records may be completed out of order."""

    def __init__(self, checkpoint: str | None = None) -> None:
        self.checkpoint = checkpoint
        """Sequence number up to which everything is completed; None before the first."""
        self._open: deque[str] = deque()
        self._completed: set[str] = set()

    def begin(self, record: Record) -> None:
        """A record was read; records begin in the order of the shard."""
        self._open.append(record.sequence_number)

    def complete(self, records: Iterable[Record]) -> None:
        """Records were acknowledged or given up."""
        self._completed.update(record.sequence_number for record in records)
        while self._open and self._open[0] in self._completed:
            self.checkpoint = self._open.popleft()
            self._completed.remove(self.checkpoint)

    @property
    def outstanding(self) -> int:
        """Records from the first that is not completed on."""
        return len(self._open)
