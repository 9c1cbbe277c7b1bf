"""Marks: what became of sealed batches (sent, acknowledged, asked for again), appended to one small file.

Only ``sending`` must be durable at once. The rest may be lost in a power cut: a batch is sent again then,
the same bytes under the same key.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

from edge_agent.spool.disk import Disk
from edge_agent.spool.files import adopt, remove, write_new
from edge_agent.spool.frame import encode_frame
from edge_agent.spool.layout import MARKS, name_of
from edge_agent.spool.records import SPAN, Record
from edge_agent.spool.state import MOST

Fact = tuple[Record, int, int]
"""What happened to the numbers from one to before another."""


def encode_facts(record: Record, spans: Iterable[tuple[int, int]]) -> bytes:
    """One frame for any number of spans; nothing for none."""
    body = b"".join(SPAN.pack(*span) for span in spans)
    return encode_frame(record, body) if body else b""


def decode_facts(record: int, body: memoryview) -> list[Fact]:
    """The facts of a frame; raises struct.error or ValueError."""
    if len(body) % SPAN.size:
        raise struct.error("half a span")
    return [(Record(record), start, min(end, MOST)) for start, end in SPAN.iter_unpack(body)]


@dataclass(slots=True)
class Marks:
    """The file; ``spoilt`` when it has to be written anew from what is known."""

    disk: Disk
    name: str = ""
    size: int = 0
    used: int = 0
    spoilt: bool = True
    old: list[str] = field(default_factory=list)
    """Files that were superseded and are still there."""

    def note(self, frames: bytes, durable: bool = False) -> bool:
        """Append; whether the file took it, which it does not when it is full or spoilt."""
        if self.spoilt or self.used + len(frames) >= self.size:
            return False
        try:
            self.disk.write(self.name, self.used, frames)
            if durable:
                self.disk.sync(self.name)
        except OSError:
            self.spoilt = True
            raise
        self.used += len(frames)
        return True

    def begin(self, number: int, size: int, snapshot: bytes) -> None:
        """Begin another file with all that is known; the old one goes."""
        name = name_of(MARKS, number)
        size = write_new(self.disk, name, max(size, 2 * len(snapshot)), snapshot)
        adopt(self.disk, name)
        self.old += [self.name] if self.name else []
        self.name, self.size, self.used, self.spoilt = name, size, len(snapshot), False
        self.old = [each for each in self.old if not remove(self.disk, each)]
