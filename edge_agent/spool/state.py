"""What the spool knows beyond the readings it holds: numbering, counts, and which numbers are gone."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from edge_agent.contract import Loss
from edge_agent.spool.ranges import Ranges

Told = tuple[int, int, int | None, int, int | None, int | None, int | None]
"""The number of a gap reading, and what it tells: reason, first number, end, since, until, epoch."""
MOST_TOLD = 32
"""Gap readings that are remembered until they have arrived: 2 kB at most."""
MOST = 1 << 62
"""No spool ever comes to number so many readings."""


@dataclass(slots=True)
class State:
    """Written whole at the head of each journal file and with each change that is not an append."""

    gateway: str
    epochs: list[tuple[int, int]]
    """The first sequence number of each epoch, ascending; numbers go on from one to the next."""
    next_sequence: int = 0
    version: int = 0
    """Counts the times that it was written; the highest is the newest."""
    unnumbered: int = 0
    """Readings that were lost before they got a number."""
    acked_gone: int = 0
    """Readings that were acknowledged and are no longer held."""
    dropped: Counter[Loss] = field(default_factory=Counter)
    gone: Ranges = field(default_factory=Ranges)
    """Numbers that are acknowledged or dropped, and are ignored where a file still has them."""
    latest_ms: int = 0
    """Of a clock that was believed, or of what was sealed last."""
    sealed: int = 0
    """What is below was sealed, and may have been sent: it is never sealed again."""
    told: tuple[Told, ...] = ()
    """The newest gap readings that have not arrived, to be told again when they are lost themselves."""
    removing: tuple[str, ...] = ()
    """Files that this change lets go of."""
    adopting: str = ""
    """A file that takes their place."""

    @staticmethod
    def of(body: bytes | memoryview) -> State:
        """The state of a frame's body; raises what ``decode_state`` raises."""
        return decode_state(bytes(body))

    @property
    def epoch(self) -> int:
        """The epoch of what is sealed now."""
        return self.epochs[-1][1]

    def epoch_of(self, sequence: int) -> int:
        """The epoch that a number belongs to."""
        place = bisect_right(self.epochs, (sequence, 1 << 64))
        return self.epochs[max(0, place - 1)][1]

    def split(self, start: int, end: int) -> list[tuple[int, int]]:
        """A range in parts that each belong to one epoch."""
        cuts = [start, *(first for first, _ in self.epochs if start < first < end), end]
        return list(pairwise(cuts))

    def begin_epoch(self, epoch: int, first: int) -> None:
        """Numbers from ``first`` on belong to a new epoch."""
        self.epochs = [each for each in self.epochs if each[0] < first]
        self.epochs.append((first, epoch))

    def forget_epochs(self) -> None:
        """Let go of epochs of which every number is gone."""
        while len(self.epochs) > 1 and not self.gone.missing(self.epochs[0][0], self.epochs[1][0]):
            del self.epochs[0]

    def encode(self) -> bytes:
        """The state as JSON."""
        given = {
            "gateway": self.gateway,
            "epochs": self.epochs,
            "next": self.next_sequence,
            "version": self.version,
            "unnumbered": self.unnumbered,
            "acked": self.acked_gone,
            "dropped": {str(int(reason)): count for reason, count in self.dropped.items() if count},
            "gone": list(self.gone),
            "latest_ms": self.latest_ms,
            "sealed": self.sealed,
            "told": self.told,
            "removing": self.removing,
            "adopting": self.adopting,
        }
        return json.dumps(given, separators=(",", ":")).encode()


def decode_state(data: bytes) -> State:
    """The state that ``encode`` wrote; raises ValueError, TypeError or KeyError when it is not one."""
    given = json.loads(data)
    state = State(
        str(given["gateway"]),
        [(int(first), int(epoch)) for first, epoch in given["epochs"]],
        int(given["next"]),
        int(given["version"]),
        int(given["unnumbered"]),
        int(given["acked"]),
        Counter({Loss(int(reason)): int(count) for reason, count in given["dropped"].items()}),
        Ranges(_pairs(given["gone"])),
        int(given["latest_ms"]),
        int(given["sealed"]),
        tuple(_told(each) for each in given["told"]),
        tuple(map(str, given["removing"])),
        str(given["adopting"]),
    )
    if not state.epochs or not 0 <= state.next_sequence < MOST or state.gone.end > MOST:
        raise ValueError("the numbers of a state make no sense")
    return state


def _told(given: Sequence[int | None]) -> Told:
    number, reason, start, end, from_ms, until_ms, epoch = given
    if not isinstance(number, int) or not isinstance(end, int):
        raise ValueError("a gap without a number")
    return number, int(Loss(reason or 0)), start, end, from_ms, until_ms, epoch


def _pairs(given: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    return [(int(start), int(end)) for start, end in given]
