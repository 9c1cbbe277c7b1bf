"""A folder of a real file system as the spool's disk."""

from __future__ import annotations

import errno
import fcntl
import os
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

from edge_agent.spool.disk import FILL
from edge_agent.spool.failure import SpoolBusy, SpoolUnusable

LOCK = "lock"
OPEN_FILES = 6
_PAGE = FILL * 4096
"""It is written page by page: what was cached in one piece is written back in one piece ever after."""
_SCAN = 1 << 16
"""Reads of this size are of somebody who reads the whole file, once."""
_NEEDS_A_HUMAN = {errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}


class FolderDisk:
    """The files of one folder, made with mode 0700 when it is not there."""

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._lock: int | None = None
        self._open: OrderedDict[str, int] = OrderedDict()
        """Descriptors by name, those used last at the end."""

    def __str__(self) -> str:
        return str(self._path)

    def names(self) -> list[str]:
        """The files there are, sorted, without the lock."""
        with os.scandir(self._path) as entries:
            return sorted(each.name for each in entries if each.name != LOCK and each.is_file())

    def size(self, name: str) -> int:
        """Bytes of a file."""
        return os.fstat(self._descriptor(name)).st_size

    def read(self, name: str, offset: int, size: int) -> bytes:
        """At most ``size`` bytes from ``offset``."""
        descriptor = self._descriptor(name)
        data = os.pread(descriptor, size, offset)
        if size >= _SCAN:
            # What was read ahead is cached in large pieces, each of which one small write would dirty.
            os.posix_fadvise(descriptor, offset, size, os.POSIX_FADV_DONTNEED)
        return data

    def create(self, name: str, size: int = 0) -> None:
        """Make a file of FILL that is really written: room that is only promised costs metadata later."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._keep(name, os.open(self._path / name, flags, 0o600))
        try:
            for offset in range(0, size, len(_PAGE)):
                self.write(name, offset, _PAGE[: size - offset])
        except OSError:
            with suppress(OSError):
                self.remove(name)
            raise

    def write(self, name: str, offset: int, data: bytes) -> None:
        """Write all of it."""
        descriptor, left = self._descriptor(name), memoryview(data)
        while left:
            written = os.pwrite(descriptor, left, offset)
            offset, left = offset + written, left[written:]

    def sync(self, name: str) -> None:
        """Have the medium take the file's content, and its size where that has changed."""
        os.fdatasync(self._descriptor(name))

    def sync_folder(self) -> None:
        """Have the medium take the names."""
        folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def rename(self, old: str, new: str) -> None:
        """Give a file another name."""
        self._forget(old)
        self._forget(new)
        (self._path / old).rename(self._path / new)

    def remove(self, name: str) -> None:
        """Delete a file."""
        self._forget(name)
        (self._path / name).unlink()

    def truncate(self, name: str, size: int) -> None:
        """Cut or lengthen a file."""
        os.ftruncate(self._descriptor(name), size)

    def free(self) -> int:
        """Bytes that this user may still write."""
        about = os.statvfs(self._path)
        return about.f_bavail * about.f_frsize

    def lock(self) -> None:
        """Make the folder when there is none, and keep other processes out of it until closed."""
        if self._lock is not None:
            return
        if self._path.exists() and not self._path.is_dir():
            raise SpoolUnusable(
                f"{self._path}: File exists: the spool is a folder; move the file away or name another path"
            )
        lock = None
        try:
            self._path.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self._path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            if lock is not None:
                os.close(lock)
            if exc.errno == errno.EAGAIN:
                busy = f"{self._path} is in use by another edge-agent; stop that one first"
                raise SpoolBusy(busy) from exc
            if exc.errno in _NEEDS_A_HUMAN:
                raise SpoolUnusable(f"{self._path}: {exc.strerror}") from exc
            raise
        self._lock = lock

    def close(self) -> None:
        """Let go of all files and of the lock."""
        for name in list(self._open):
            self._forget(name)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _descriptor(self, name: str) -> int:
        if name not in self._open:
            self._keep(name, self._opened(name))
        self._open.move_to_end(name)
        return self._open[name]

    def _opened(self, name: str) -> int:
        try:
            return os.open(self._path / name, os.O_RDWR | os.O_CLOEXEC)
        except OSError as exc:
            if exc.errno not in (errno.EROFS, errno.EACCES) or self._lock is not None:
                raise
            return os.open(self._path / name, os.O_RDONLY | os.O_CLOEXEC)

    def _keep(self, name: str, descriptor: int) -> None:
        self._open[name] = descriptor
        while len(self._open) > OPEN_FILES:
            os.close(self._open.popitem(last=False)[1])

    def _forget(self, name: str) -> None:
        descriptor = self._open.pop(name, None)
        if descriptor is not None:
            os.close(descriptor)
