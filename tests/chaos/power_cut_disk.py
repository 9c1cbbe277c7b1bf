"""The Disk port over a Medium: any call may fail, or be the last one before the lights go out."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from typing import TypeVar

from edge_agent.spool.disk import FILL
from edge_agent.spool.failure import SpoolBusy
from tests.chaos.medium import SECTOR, Medium, StoredFile

T = TypeVar("T")

READS = ("names", "size", "read", "free")
SYNCS = ("sync", "sync_folder")


class LifeEnded(BaseException):
    """The process is no more; no code of the agent may catch this and go on."""


class Trouble:
    """What is wrong with a disk: asked before each call, answers with an errno or 0."""

    def error(self, call: str) -> int:
        """The errno that the call fails with; 0 when it works."""
        return 0


class PowerCutDisk:
    """The disk as one process sees it, from its start to its end."""

    def __init__(
        self,
        medium: Medium,
        rng: random.Random | None = None,
        trouble: Trouble | None = None,
        last_call: int = 0,
    ) -> None:
        """``last_call``: the number of the call in which the process ends, done or not; 0 for never."""
        self._medium = medium
        self._rng = rng or random.Random(0)
        self._trouble = trouble or Trouble()
        self._last_call = last_call
        self._locked = False
        self.calls = 0
        """How many there have been."""
        self.has_ended = False
        self.on_end: Callable[[], None] = lambda: None

    def __str__(self) -> str:
        return "power-cut disk"

    def end(self) -> None:
        """The process ends here: every further call raises LifeEnded."""
        if self.has_ended:
            return
        self.has_ended = True
        self._unlock()
        self.on_end()

    def names(self) -> list[str]:
        return self._do("names", lambda: sorted(self._medium.names))

    def size(self, name: str) -> int:
        return self._do("size", lambda: len(self._file(name).data))

    def read(self, name: str, offset: int, size: int) -> bytes:
        return self._do("read", lambda: self._read(name, offset, size))

    def create(self, name: str, size: int = 0) -> None:
        self._do("create", lambda: self._create(name, size))

    def write(self, name: str, offset: int, data: bytes) -> None:
        self._do("write", lambda: self._write(name, offset, data), lambda: self._part(name, offset, data))

    def sync(self, name: str) -> None:
        self._do("sync", lambda: self._file(name).sync(), lambda: self._file(name).fail_sync())

    def sync_folder(self) -> None:
        self._do("sync_folder", self._medium.sync)

    def rename(self, old: str, new: str) -> None:
        self._do("rename", lambda: self._medium.change(old, new, self._file(old)))

    def remove(self, name: str) -> None:
        self._do("remove", lambda: self._medium.change(name, "", self._file(name)))

    def truncate(self, name: str, size: int) -> None:
        self._do("truncate", lambda: self._truncate(name, size))

    def free(self) -> int:
        return self._do("free", lambda: max(self._medium.capacity - self._medium.used, 0))

    def lock(self) -> None:
        self._do("lock", self._lock)

    def close(self) -> None:
        self._unlock()

    def _do(self, call: str, work: Callable[[], T], spoil: Callable[[], None] = lambda: None) -> T:
        if self.has_ended:
            raise LifeEnded
        self.calls += 1
        is_last = self.calls == self._last_call
        if is_last and (call in SYNCS or self._rng.random() < 0.5):
            self._end_here()
        code = self._trouble.error(call)
        if code:
            spoil()
            raise OSError(code, os.strerror(code), call)
        done = work()
        if is_last:
            self._end_here()
        return done

    def _end_here(self) -> None:
        self.end()
        raise LifeEnded

    def _file(self, name: str) -> StoredFile:
        file = self._medium.names.get(name)
        if file is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return file

    def _read(self, name: str, offset: int, size: int) -> bytes:
        data = bytes(self._file(name).data[offset : offset + size])
        touched = range(offset // SECTOR, -(-(offset + len(data)) // SECTOR))
        if self._medium.unreadable and any((name, sector) in self._medium.unreadable for sector in touched):
            raise OSError(errno.EIO, os.strerror(errno.EIO), name)
        return data

    def _create(self, name: str, size: int) -> None:
        if name in self._medium.names:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
        self._require_room(size)
        file = StoredFile()
        self._medium.change("", name, file)
        if size:
            file.write(0, FILL * size)

    def _write(self, name: str, offset: int, data: bytes) -> None:
        file = self._file(name)
        more = offset + len(data) - len(file.data)
        fits = self._medium.capacity - self._medium.used if more > 0 else 0
        if more > fits:
            file.write(offset, data[: max(len(data) - (more - max(fits, 0)), 0)])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
        self._renew(name, offset, len(data))
        file.write(offset, data)

    def _part(self, name: str, offset: int, data: bytes) -> None:
        """A write that fails has often begun."""
        file = self._medium.names.get(name)
        if file is not None:
            file.write(offset, data[: self._rng.randrange(len(data) + 1)])

    def _renew(self, name: str, offset: int, size: int) -> None:
        """A sector that is written anew can be read again."""
        if self._medium.unreadable:
            touched = range(offset // SECTOR, -(-(offset + size) // SECTOR))
            self._medium.unreadable -= {(name, sector) for sector in touched}

    def _truncate(self, name: str, size: int) -> None:
        file = self._file(name)
        self._require_room(size - len(file.data))
        file.truncate(size)

    def _require_room(self, size: int) -> None:
        if size > 0 and self._medium.used + size > self._medium.capacity:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _lock(self) -> None:
        if self._medium.is_locked and not self._locked:
            raise SpoolBusy("memory: another process has it")
        self._medium.is_locked = self._locked = True

    def _unlock(self) -> None:
        if self._locked:
            self._medium.is_locked = self._locked = False
