"""The frame: magic, type, length, CRC-32, body, length, end; how frames are found after damage (pure).

A file is FILL where nothing was written. A write that the power cut off leaves FILL in its place, up to the
end of a sector at least; whatever changes a record that was whole leaves something else.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

from edge_agent.spool.disk import FILL

MAGIC = b"\xa7\x4c"
END = 0x5A
_HEAD = struct.Struct("!2sBII")
_TAIL = struct.Struct("!IB")
OVERHEAD = _HEAD.size + _TAIL.size
MAX_BODY = 1 << 22
SECTOR = 512
_STEP = 4096
_SURE = 4
"""So many bytes of FILL at the end of a sector are no accident."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole frame as it lies in a file."""

    offset: int
    kind: int
    body: memoryview

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.offset + OVERHEAD + len(self.body)


@dataclass(slots=True)
class Scan:
    """What a file holds."""

    frames: list[Frame] = field(default_factory=list)
    damaged: list[tuple[int, int]] = field(default_factory=list)
    """Ranges of bytes between frames, or after the last, that were frames once."""
    torn: int = 0
    """Bytes at the end of a write that never was completed."""
    end: int = 0
    """Where the file has FILL only, from there on."""


def encode_frame(kind: int, body: bytes) -> bytes:
    """The frame of a body."""
    head = _HEAD.pack(MAGIC, kind, len(body), _checksum(kind, body))
    return b"".join((head, body, _TAIL.pack(len(body), END)))


def frame_at(data: memoryview, offset: int) -> Frame | None:
    """The frame at this place of which the body is whole, or None."""
    if offset + OVERHEAD > len(data):
        return None
    magic, kind, length, checksum = _HEAD.unpack_from(data, offset)
    start = offset + _HEAD.size
    if magic != MAGIC or length > MAX_BODY or start + length + _TAIL.size > len(data):
        return None
    body = data[start : start + length]
    return Frame(offset, kind, body) if _checksum(kind, body) == checksum else None


def size_at(data: memoryview, offset: int) -> int:
    """The size that a damaged frame claims to have, or 0."""
    if offset + _HEAD.size > len(data):
        return 0
    magic, _, length, _ = _HEAD.unpack_from(data, offset)
    return OVERHEAD + length if magic == MAGIC and length <= MAX_BODY else 0


def damaged_body(data: memoryview, start: int, end: int) -> memoryview:
    """What lies where the body of a damaged frame was."""
    return data[start + _HEAD.size : max(end - _TAIL.size, start + _HEAD.size)]


def scan(data: bytes) -> Scan:
    """All whole frames of a file, in order, and what lies between them."""
    found, view = Scan(end=_written(data)), memoryview(data)
    at = 0
    while at < found.end:
        frame = frame_at(view, at)
        if frame is not None:
            found.frames.append(frame)
            at = frame.end
            found.end = max(found.end, at)
            continue
        following = _next_frame(data, view, at + 1)
        if following < 0:
            if is_torn(view, at, found.end):
                found.torn = found.end - at
            else:
                found.damaged.append((at, found.end))
            break
        found.damaged.append((at, following))
        at = following
    return found


def is_torn(view: memoryview, start: int, end: int) -> bool:
    """Whether these bytes, frames of one write once, lack something that never was written."""
    if end - start < _HEAD.size:
        return True
    has_both_ends = _has_both_ends(view, start, end)
    if not has_both_ends and start + size_at(view, start) > end:
        return True
    least = 1 if has_both_ends else _SURE
    first = start - start % SECTOR + SECTOR
    return any(_unwritten(view, start, at) >= least for at in range(first, end + 1, SECTOR))


def _unwritten(view: memoryview, start: int, end: int) -> int:
    """Bytes of FILL before the end of a sector; all that there are count as many."""
    content = bytes(view[max(start, end - SECTOR) : end])
    left = content.rstrip(FILL)
    return len(content) - len(left) if left else SECTOR


def _has_both_ends(view: memoryview, start: int, end: int) -> bool:
    """Whether the first frame has its head and the last one its end, and that is its own."""
    length, mark = _TAIL.unpack_from(view, end - _TAIL.size)
    last = end - OVERHEAD - length
    return mark == END and last >= start and view[start : start + 2] == view[last : last + 2] == MAGIC


def _written(data: bytes) -> int:
    """Where FILL at the end begins, found in steps so that nothing large is copied."""
    end, page = len(data), FILL * _STEP
    while end >= _STEP and data[end - _STEP : end] == page:
        end -= _STEP
    start = max(0, end - _STEP)
    return start + len(data[start:end].rstrip(FILL))


def _next_frame(data: bytes, view: memoryview, start: int) -> int:
    at = data.find(MAGIC, start)
    while at >= 0 and frame_at(view, at) is None:
        at = data.find(MAGIC, at + 1)
    return at


def _checksum(kind: int, body: bytes | memoryview) -> int:
    return zlib.crc32(body, zlib.crc32(struct.pack("!BI", kind, len(body))))
