"""Files of the spool: zeros in whole pages, made under another name until their beginning is durable.

So a file that has its name begins with a whole frame, and no write goes over its end: where that is not so,
something else than a power cut has changed it.
"""

from __future__ import annotations

from contextlib import suppress

from edge_agent.spool.disk import Disk
from edge_agent.spool.layout import NEW, PAGE, whole_pages

_ZEROS = bytes(PAGE)


def make_file(disk: Disk, name: str, size: int, beginning: bytes) -> int:
    """Make a file that begins so, durably; returns its size, or leaves nothing and raises OSError."""
    size = whole_pages(max(size, len(beginning)))
    try:
        disk.create(name + NEW, size)
        disk.write(name + NEW, 0, beginning)
        disk.sync(name + NEW)
        disk.rename(name + NEW, name)
        disk.sync_folder()
    except OSError:
        for each in (name + NEW, name):
            with suppress(OSError):
                disk.remove(each)
        raise
    return size


def lengthen(disk: Disk, name: str, size: int, more: int) -> int:
    """Put zeros at the end of a file, durably; returns its size."""
    end = whole_pages(size + more)
    for offset in range(size, end, PAGE):
        disk.write(name, offset, _ZEROS)
    disk.sync(name)
    return end
