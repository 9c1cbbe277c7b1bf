"""Ranges of readings that the cloud asks for again: its commands, given to the spool piece by piece."""

from __future__ import annotations

import json
import re
from collections import deque
from dataclasses import dataclass

MAX_ASKED = 16
"""Ranges that wait; the cloud asks again for what it still misses."""
PIECE = 60
"""Readings asked of the spool at a time, so that what is live goes between."""
_EPOCH = re.compile(r"[0-9a-fA-F]{16}")


class CommandError(ValueError):
    """A command that is not understood; the message says why."""


@dataclass(frozen=True, slots=True)
class Range:
    """Readings ``first`` to ``last``, both included, of one life of the spool."""

    epoch: int
    first: int
    last: int


def parse_command(payload: bytes) -> Range:
    """The range that {"epoch": "16 hex digits", "first": n, "last": n} asks for; raises CommandError."""
    try:
        command = json.loads(payload)
    except (ValueError, RecursionError) as exc:
        raise CommandError("it is not JSON") from exc
    if not isinstance(command, dict):
        raise CommandError("it is not a JSON object")
    epoch = command.get("epoch")
    if not isinstance(epoch, str) or not _EPOCH.fullmatch(epoch):
        raise CommandError('"epoch" is not 16 hexadecimal digits')
    first, last = _sequence(command, "first"), _sequence(command, "last")
    if first > last:
        raise CommandError('"first" is after "last"')
    return Range(int(epoch, 16), first, last)


def _sequence(command: dict[str, object], key: str) -> int:
    value = command.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise CommandError(f'"{key}" is not a sequence number')
    return value


class Resends:
    """Ranges asked for and not yet given to the spool, a bounded number."""

    def __init__(self) -> None:
        self._asked: deque[Range] = deque()

    def __len__(self) -> int:
        return len(self._asked)

    def ask(self, wanted: Range) -> bool:
        """Take a range up; False when too many wait."""
        if wanted in self._asked:
            return True
        if len(self._asked) >= MAX_ASKED:
            return False
        self._asked.append(wanted)
        return True

    def next_piece(self, epoch: int, accepted: int) -> Range | None:
        """The next few readings to ask of a spool in ``epoch`` that has ``accepted`` readings so far."""
        if not self._asked:
            return None
        wanted = self._asked.popleft()
        if wanted.epoch != epoch:
            return wanted
        last = min(wanted.last, accepted - 1)
        piece = Range(epoch, wanted.first, min(last, wanted.first + PIECE - 1))
        if piece.last < last:
            self._asked.appendleft(Range(epoch, piece.last + 1, last))
        return piece

    def skip_to(self, epoch: int, first: int) -> None:
        """What comes before ``first`` has been asked for with the last piece: it was the end of a batch."""
        if self._asked and self._asked[0].epoch == epoch and self._asked[0].first < first:
            rest = self._asked.popleft()
            if first <= rest.last:
                self._asked.appendleft(Range(epoch, first, rest.last))
