"""Files of the spool: FILL in whole pages, made under another name until their beginning is durable.

So a file that has its name begins with a whole frame, and no write ever reaches its end: where that is not
so, something else than a power cut has changed it.
"""

from __future__ import annotations

import errno

from edge_agent.spool.disk import Disk
from edge_agent.spool.layout import NEW, whole_pages


def write_new(disk: Disk, name: str, size: int, beginning: bytes) -> int:
    """Write a file that begins so, durably, which counts for nothing yet; returns its size.

    Leaves nothing when it raises OSError.
    """
    size = whole_pages(max(size, len(beginning) + 1))
    try:
        disk.create(name + NEW, size)
        disk.write(name + NEW, 0, beginning)
        disk.sync(name + NEW)
    except OSError:
        remove(disk, name + NEW)
        raise
    return size


def adopt(disk: Disk, name: str) -> None:
    """Give the file its name, durably; when it raises OSError the file may be there after a power cut."""
    try:
        disk.rename(name + NEW, name)
        disk.sync_folder()
    except OSError:
        remove(disk, name + NEW)
        remove(disk, name)
        raise


def remove(disk: Disk, name: str) -> bool:
    """Delete a file, which may be gone already; whether it is."""
    try:
        disk.remove(name)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


MOST_TRIES = 300
"""What could not be read so often in a row, some minutes of trying, never will be."""


class Reader:
    """Reads records of a medium of which single sectors may fail, for a while or for good."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._failed: dict[tuple[str, int], int] = {}

    def read(self, name: str, offset: int, size: int) -> memoryview:
        """What lies there, nothing when it is lost; raises OSError while there is hope."""
        place = name, offset
        try:
            data = self._disk.read(name, offset, size)
        except OSError as exc:
            self._failed[place] = self._failed.get(place, 0) + (exc.errno == errno.EIO)
            if self._failed[place] < MOST_TRIES:
                raise
            return memoryview(b"")
        self._failed.pop(place, None)
        return memoryview(data)
