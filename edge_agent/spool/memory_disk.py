"""A disk in memory, for simulated gateways and for tests: it can fill up, fail, and lose its power."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field

from edge_agent.spool.disk import FILL

SECTOR = 512
"""Bytes that a medium writes whole or not at all; what is torn is torn between them."""


@dataclass(slots=True)
class _File:
    now: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    unsynced: list[tuple[int, bytes]] = field(default_factory=list)
    """Writes since the last sync; offset -1: cut or filled up to a size, given as 8 bytes."""


def no_fault(operation: str, name: str) -> None:
    """A disk that never fails."""


class MemoryDisk:
    """Files in memory; ``fault`` is called before each operation that writes, and may raise OSError."""

    def __init__(self, capacity: int = 1 << 62, fault: Callable[[str, str], None] = no_fault) -> None:
        """``capacity`` is in bytes."""
        self.capacity = capacity
        self.fault = fault
        self._files: dict[str, _File] = {}
        self._durable_names: dict[str, _File] = {}
        self._name_changes: list[tuple[str, str, _File | None]] = []

    def __str__(self) -> str:
        return "memory"

    def names(self) -> list[str]:
        """The files there are, sorted."""
        return sorted(self._files)

    def size(self, name: str) -> int:
        """Bytes of a file."""
        return len(self._file(name).now)

    def read(self, name: str, offset: int, size: int) -> bytes:
        """At most ``size`` bytes from ``offset``."""
        return bytes(memoryview(self._file(name).now)[offset : offset + size])

    def create(self, name: str, size: int = 0) -> None:
        """Make a file of FILL; ENOSPC when the capacity does not allow it."""
        self.fault("create", name)
        if name in self._files:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
        self._take(size)
        made = _File()
        self._files[name] = made
        self._name_changes.append(("link", name, made))
        self._apply(made, 0, FILL * size)

    def write(self, name: str, offset: int, data: bytes) -> None:
        """Write at an offset."""
        self.fault("write", name)
        file = self._file(name)
        self._take(max(0, offset + len(data) - len(file.now)))
        self._apply(file, offset, bytes(data))

    def sync(self, name: str) -> None:
        """Make the content durable."""
        self.fault("sync", name)
        file = self._file(name)
        for offset, data in file.unsynced:
            _write(file.durable, offset, data)
        file.unsynced.clear()

    def sync_folder(self) -> None:
        """Make the names durable."""
        self.fault("sync_folder", "")
        self._durable_names = dict(self._files)
        self._name_changes.clear()

    def rename(self, old: str, new: str) -> None:
        """Give a file another name."""
        self.fault("rename", old)
        file = self._file(old)
        del self._files[old]
        self._files[new] = file
        self._name_changes += [("move", f"{old}/{new}", file)]

    def remove(self, name: str) -> None:
        """Delete a file."""
        self.fault("remove", name)
        self._file(name)
        del self._files[name]
        self._name_changes.append(("unlink", name, None))

    def truncate(self, name: str, size: int) -> None:
        """Cut or lengthen a file."""
        self.fault("truncate", name)
        file = self._file(name)
        self._take(max(0, size - len(file.now)))
        self._apply(file, -1, size.to_bytes(8, "big"))

    def free(self) -> int:
        """Bytes left of the capacity."""
        return max(0, self.capacity - sum(len(each.now) for each in self._files.values()))

    def lock(self) -> None:
        """Nobody else can have it."""

    def close(self) -> None:
        """The files stay: the next spool on this disk finds them."""

    def after_power_cut(self, rng: random.Random) -> MemoryDisk:
        """The disk as it may be found when the power is back.

        All that was synced is there; of the rest an arbitrary part, writes torn between sectors. Changes of
        names happen in their order, as on a file system with a journal, up to an arbitrary one.
        """
        names = dict(self._durable_names)
        for change, name, file in self._name_changes[: rng.randint(0, len(self._name_changes))]:
            old, _, new = name.partition("/")
            if change == "link" and file is not None:
                names[name] = file
            elif change == "unlink":
                names.pop(name, None)
            elif file is not None:
                names.pop(old, None)
                names[new] = file
        found = MemoryDisk(self.capacity)
        for name, file in names.items():
            content = _torn(file, rng)
            found._files[name] = _File(content, bytearray(content))
        found._durable_names = dict(found._files)
        return found

    def after_kill(self) -> MemoryDisk:
        """The disk as another process finds it when this one was killed: all that was written is there."""
        found = deepcopy(self)
        found.fault = no_fault
        return found

    def damage(self, name: str, offset: int, data: bytes) -> None:
        """Have the medium give back something else than was written."""
        file = self._file(name)
        for content in (file.now, file.durable):
            _write(content, offset, data)

    def _file(self, name: str) -> _File:
        try:
            return self._files[name]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name) from None

    def _take(self, size: int) -> None:
        if size > 0 and size > self.free():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _apply(self, file: _File, offset: int, data: bytes) -> None:
        file.unsynced.append((offset, data))
        _write(file.now, offset, data)


def _write(content: bytearray, offset: int, data: bytes) -> None:
    if offset < 0:
        size = int.from_bytes(data, "big")
        del content[size:]
        content.extend(bytes(size - len(content)))
        return
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data


def _torn(file: _File, rng: random.Random) -> bytearray:
    """The content with an arbitrary part of the writes since the last sync.

    Each sector is as it was after some write: a later write to it never survives without the ones before.
    """
    content = bytearray(file.durable)
    for offset, data in file.unsynced:
        if offset < 0 and rng.random() < 0.5:
            _write(content, offset, data)
    last: dict[int, int] = {}
    for turn, (offset, data) in enumerate(file.unsynced):
        if offset < 0:
            continue
        for sector in range(offset // SECTOR, -(-(offset + len(data)) // SECTOR)):
            until = last.setdefault(sector, rng.randint(0, len(file.unsynced)))
            if turn < until:
                start, end = max(offset, sector * SECTOR), min(offset + len(data), (sector + 1) * SECTOR)
                _write(content, start, data[start - offset : end - offset])
    return content
