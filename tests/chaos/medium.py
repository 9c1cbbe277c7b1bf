"""What a disk really holds when its power goes: what was synced, and any part of what was only written.

A file is kept as it reads now, and for each sector all contents it has had since the last sync. At a
power cut every such sector is any one of them, or torn between two; sizes and names are old or new likewise.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

SECTOR = 512
TORN = 0.2
"""Of the sectors that were being written: how many are neither old nor new."""


class StoredFile:
    """The content of one file, whatever names it has."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)
        """As it reads now."""
        self._before: dict[int, list[bytes]] = {}
        """By sector, what it has held since the last sync, what is durable first."""
        self._sizes = [len(data)]
        """Likewise."""
        self._stuck: set[int] = set()
        """Sectors of a sync that failed: the system holds them for clean and writes them no more."""

    def write(self, offset: int, data: bytes) -> None:
        """Write at an offset; a hole before it reads as zeros."""
        end = offset + len(data)
        touched = range(min(offset, len(self.data)) // SECTOR, -(-end // SECTOR))
        self._change(touched, lambda: self._put(offset, data))

    def truncate(self, size: int) -> None:
        """Cut or extend with zeros."""
        # Where the file is longer than before it reads as zeros whether that has happened or not.
        touched = range(size // SECTOR, -(-len(self.data) // SECTOR))
        self._change(touched, lambda: self._resize(size))

    def _put(self, offset: int, data: bytes) -> None:
        if offset > len(self.data):
            self._resize(offset)
        self.data[offset : offset + len(data)] = data

    def _resize(self, size: int) -> None:
        del self.data[size:]
        self.data.extend(bytes(size - len(self.data)))

    def _change(self, touched: range, change: Callable[[], None]) -> None:
        for sector in touched:
            self._before.setdefault(sector, [self._sector(sector)])
        change()
        for sector in touched:
            self._before[sector].append(self._sector(sector))
        self._stuck.difference_update(touched)
        self._sizes.append(len(self.data))

    def _sector(self, number: int) -> bytes:
        return bytes(self.data[number * SECTOR : (number + 1) * SECTOR]).ljust(SECTOR, b"\0")

    def sync(self) -> None:
        """All that was written is durable, but for what an earlier sync failed to write."""
        self._before = {sector: kept for sector, kept in self._before.items() if sector in self._stuck}
        self._sizes = [len(self.data)]

    def fail_sync(self) -> None:
        """Nothing of it is known to be durable, and no later sync will make it so."""
        self._stuck.update(self._before)

    def survivor(self, mood: Mood, stale: bytes) -> StoredFile:
        """The file after a power cut."""
        size = mood.one_of(self._sizes)
        durable, image = self._sizes[0], bytearray(self.data)
        image.extend(bytes(max(max(self._sizes) + SECTOR - len(image), 0)))
        for rank, (sector, contents) in enumerate(sorted(self._before.items())):
            at = sector * SECTOR
            kept = mood.sector(contents, rank, len(self._before))
            if at >= durable and kept == contents[0] and mood.is_stale():
                kept = _cut_of(stale, mood.rng)
            image[at : at + SECTOR] = kept
        return StoredFile(bytes(image[:size]))


def _cut_of(stale: bytes, rng: random.Random) -> bytes:
    """A sector of what lay on the medium before: of a file that was removed, or noise."""
    if len(stale) < SECTOR:
        return rng.randbytes(SECTOR)
    at = rng.randrange(len(stale) // SECTOR) * SECTOR
    return stale[at : at + SECTOR].ljust(SECTOR, b"\0")


class Mood:
    """What a power cut does to what was not synced: none of it stays, all, a first part, or any."""

    def __init__(self, rng: random.Random, stale: bool = False) -> None:
        """``stale``: new sectors may show what lay there before: file systems that do not order data."""
        self.rng = rng
        self._kind = rng.choice(("nothing", "everything", "in order", "in order", "any", "any", "any"))
        self._keep = rng.choice((0.1, 0.5, 0.9))
        self._reached = rng.random()
        self._stale = stale

    def one_of(self, versions: list[int]) -> int:
        """Which of the sizes a file has."""
        match self._kind:
            case "nothing":
                return versions[0]
            case "everything":
                return versions[-1]
        return versions[-1] if self.rng.random() < self._keep else self.rng.choice(versions)

    def sector(self, contents: list[bytes], rank: int, count: int) -> bytes:
        """What a sector holds, the ``rank``-th of ``count`` that were being written."""
        match self._kind:
            case "nothing":
                return contents[0]
            case "everything":
                return contents[-1]
            case "in order":
                if rank == int(self._reached * count):
                    return self._torn(contents[0], contents[-1])
                return contents[-1 if rank < self._reached * count else 0]
        kept = contents[-1] if self.rng.random() < self._keep else self.rng.choice(contents)
        return self._torn(self.rng.choice(contents), kept) if self.rng.random() < TORN else kept

    def _torn(self, old: bytes, new: bytes) -> bytes:
        at = self.rng.randrange(SECTOR)
        return new[:at] + old[at:]

    def is_stale(self) -> bool:
        """Whether a sector that was never written shows what lay there before."""
        return self._stale and self._kind == "any" and self.rng.random() < TORN

    def changes(self, count: int) -> list[bool]:
        """Which changes of the folder have happened."""
        match self._kind:
            case "nothing":
                return [False] * count
            case "everything":
                return [True] * count
            case "in order":
                return [number < self._reached * count for number in range(count)]
        return [self.rng.random() < self._keep for _ in range(count)]


@dataclass(frozen=True, slots=True)
class _Change:
    """Of the folder: a name goes, a name comes, or both."""

    old: str
    new: str
    file: StoredFile

    def apply(self, names: dict[str, StoredFile]) -> None:
        names.pop(self.old, None)
        if self.new:
            names[self.new] = self.file


class Medium:
    """One folder on a disk: outlives processes and power cuts."""

    def __init__(self, capacity: int = 1 << 30) -> None:
        self.is_locked = False
        """Whether a process has it."""
        self.capacity = capacity
        """Bytes that the file system has room for."""
        self.names: dict[str, StoredFile] = {}
        self.unreadable: set[tuple[str, int]] = set()
        """Sectors by name of the file and number that cannot be read any more."""
        self._durable: dict[str, StoredFile] = {}
        self._changes: list[_Change] = []
        self._removed = b""
        """The content of the file removed last: what new sectors may show."""

    def change(self, old: str, new: str, file: StoredFile) -> None:
        """Change the folder; durable after ``sync``."""
        if old and not new:
            self._removed = bytes(file.data)
        change = _Change(old, new, file)
        change.apply(self.names)
        self._changes.append(change)

    def sync(self) -> None:
        """Names are durable."""
        self._durable, self._changes = dict(self.names), []

    @property
    def used(self) -> int:
        """Bytes in files."""
        return sum(len(each.data) for each in self.names.values())

    def cut(self, rng: random.Random, stale: bool = False) -> None:
        """The power goes and comes back."""
        mood = Mood(rng, stale)
        names = dict(self._durable)
        for change, happened in zip(self._changes, mood.changes(len(self._changes)), strict=True):
            if happened:
                change.apply(names)
        self.names = {name: file.survivor(mood, self._removed) for name, file in names.items()}
        self.sync()
