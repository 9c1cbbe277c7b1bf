"""The reserve: a file that is let go of when the disk is full, so that what must be written has room."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.spool.disk import Disk

RESERVE = "reserve"


@dataclass(slots=True)
class Reserve:
    """The file, or the lack of it."""

    disk: Disk
    most: int
    """Bytes that it has when it is there."""
    size: int
    """Bytes that it has."""

    def release(self) -> bool:
        """Let go of it; whether there was one."""
        if not self.size:
            return False
        self.disk.remove(RESERVE)
        self.size = 0
        return True

    def restore(self, room: int) -> None:
        """Have it again where this much room and twice as much of the disk allow it."""
        try:
            if self.size or self.most > room or self.disk.free() < 2 * self.most:
                return
            self.disk.create(RESERVE, self.most)
            self.disk.sync(RESERVE)
        except OSError:
            return
        self.size = self.most
