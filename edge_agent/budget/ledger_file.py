"""The file of the ledger: two copies with a checksum, each replaced at once; damage is never read."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_agent.budget.ledger import Ledger, ledger

NAME = "budget"
MAGIC = "linkpulse-budget 1"
MAX_BYTES = 1 << 20


class LedgerDamaged(Exception):
    """There is a ledger, and no copy of it can be read."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The ledger as it was when it was written."""

    serial: int
    at_s: float
    """Of the budget's own time (certain_time)."""
    is_sure: bool
    boot: str
    since_boot_s: float
    is_open: bool
    """Whether the agent went on after it wrote this, and may have spent up to ``margin`` bytes more."""
    margin: int
    meters: Mapping[str, Ledger]
    limits: Mapping[str, tuple[int, int, int, float]]
    """Month, day, hour and reserve by interface, for whoever only reads the file."""
    reset_day: int = 1
    damaged_s: float | None = None
    """When a ledger was found damaged, s since 1970: what is not in this one counts as spent that month."""

    def encode(self) -> bytes:
        """The file's content."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        plain["meters"] = {name: each.describe() for name, each in self.meters.items()}
        body = json.dumps(plain, separators=(",", ":"), sort_keys=True).encode()
        return f"{MAGIC} {zlib.crc32(body):08x}\n".encode() + body + b"\n"


def decode(data: bytes) -> Kept:
    """The ledger in a file's content; raises LedgerDamaged."""
    head, _, body = data.partition(b"\n")
    body = body.removesuffix(b"\n")
    try:
        if head.decode() != f"{MAGIC} {zlib.crc32(body):08x}":
            raise ValueError("its checksum is not that of its content")
        return _kept(json.loads(body))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise LedgerDamaged(str(exc)) from exc


def _kept(given: dict[str, Any]) -> Kept:
    meters = {str(name): ledger(each) for name, each in given.pop("meters").items()}
    limits = {
        str(name): (int(a), int(b), int(c), float(d)) for name, (a, b, c, d) in given.pop("limits").items()
    }
    return Kept(**given, meters=meters, limits=limits)


def place(spool: Path) -> Path:
    """Where the agent with this spool keeps its ledger."""
    return spool.with_name(f"{spool.name}.{NAME}")


class LedgerFile:
    """The copies of a ledger on a disk."""

    def __init__(self, path: Path) -> None:
        self._paths = (path, path.with_name(f"{path.name}.copy"))

    @property
    def path(self) -> Path:
        """The first of the copies."""
        return self._paths[0]

    def read(self) -> Kept | None:
        """The newest copy that is whole, None when there is none at all.

        Raises LedgerDamaged, and OSError when the disk gives none of them.
        """
        found: list[Kept] = []
        why: LedgerDamaged | OSError | None = None
        for path in self._paths:
            try:
                with path.open("rb") as file:
                    found.append(decode(file.read(MAX_BYTES)))
            except FileNotFoundError:
                continue
            except LedgerDamaged as exc:
                why = LedgerDamaged(f"{path}: {exc}")
            except OSError as exc:
                why = why or exc
        if why and not found:
            raise why
        return max(found, key=lambda each: each.serial, default=None)

    def write(self, data: bytes) -> None:
        """Replace every copy that can be; one is durable when this returns. Raises OSError when none is."""
        failures: list[OSError] = []
        for path in self._paths:
            try:
                _replace(path, data)
            except OSError as exc:
                failures.append(exc)
        if len(failures) == len(self._paths):
            raise failures[0]


def _replace(path: Path, data: bytes) -> None:
    beside = path.with_name(f".{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(beside, flags, 0o644), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError:
        with suppress(OSError):
            beside.unlink()
        raise
