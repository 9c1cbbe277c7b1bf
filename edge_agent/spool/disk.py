"""The port to the medium: one folder of files without subfolders, and what it promises about power cuts."""

from __future__ import annotations

from typing import Protocol

FILL = b"\x3c"
"""What a new file is full of, so that what never was written is told from what a failing medium gives.

No single changed bit makes it of the first byte of a frame, nor of the last.
"""


class Disk(Protocol):
    """A folder of its own; names are file names within it, and every failure is an OSError."""

    def names(self) -> list[str]:
        """The files there are, sorted."""
        ...

    def size(self, name: str) -> int:
        """Bytes of a file."""
        ...

    def read(self, name: str, offset: int, size: int) -> bytes:
        """At most ``size`` bytes from ``offset``; fewer at the end of the file."""
        ...

    def create(self, name: str, size: int = 0) -> None:
        """Make a new file of ``size`` times FILL, which has its place on the medium; there must be none."""
        ...

    def write(self, name: str, offset: int, data: bytes) -> None:
        """Write at an offset, beyond the end too."""
        ...

    def sync(self, name: str) -> None:
        """What was written to the file survives a power cut when this returns."""
        ...

    def sync_folder(self) -> None:
        """Names that were created, renamed or removed survive a power cut when this returns."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, in place of any file that has it."""
        ...

    def remove(self, name: str) -> None:
        """Delete a file."""
        ...

    def truncate(self, name: str, size: int) -> None:
        """Cut a file, or fill it up with zeros."""
        ...

    def free(self) -> int:
        """Bytes free on the file system."""
        ...

    def lock(self) -> None:
        """Keep other processes out; raises SpoolBusy, SpoolUnusable, or OSError of the disk itself."""
        ...

    def close(self) -> None:
        """Let go of all files and of the lock."""
        ...
