"""The frame: magic, type, length, CRC-32, body, end mark; and how frames are found again after damage (pure).

A file is zeros where nothing was written, so that a write that the power cut off (sectors of zeros, or no
end mark) is told from a record that was whole and no longer is.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

MAGIC = b"\xa7\x4c"
END = b"\x5a"
_HEAD = struct.Struct("!2sBII")
OVERHEAD = _HEAD.size + len(END)
MAX_BODY = 1 << 22
_SECTOR = 512
_ZEROS = bytes(_SECTOR)


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
    """Where the file has zeros only, from there on."""


def encode_frame(kind: int, body: bytes) -> bytes:
    """The frame of a body."""
    head = _HEAD.pack(MAGIC, kind, len(body), _checksum(kind, body))
    return b"".join((head, body, END))


def frame_at(data: memoryview, offset: int) -> Frame | None:
    """The whole frame at this place, or None."""
    if offset + OVERHEAD > len(data):
        return None
    magic, kind, length, checksum = _HEAD.unpack_from(data, offset)
    end = offset + OVERHEAD + length
    if magic != MAGIC or length > MAX_BODY or end > len(data) or data[end - 1 : end] != END:
        return None
    body = data[offset + _HEAD.size : end - 1]
    return Frame(offset, kind, body) if _checksum(kind, body) == checksum else None


def size_at(data: memoryview, offset: int) -> int:
    """The size that a damaged frame claims to have, or 0."""
    if offset + _HEAD.size > len(data):
        return 0
    magic, _, length, _ = _HEAD.unpack_from(data, offset)
    return OVERHEAD + length if magic == MAGIC and length <= MAX_BODY else 0


def scan(data: bytes) -> Scan:
    """All whole frames of a file, in order, and what lies between them."""
    found, view = Scan(end=_written(data)), memoryview(data)
    at = 0
    while at < found.end:
        frame = frame_at(view, at)
        if frame is not None:
            found.frames.append(frame)
            at = frame.end
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
    """Whether these bytes, a frame or several once, look like a write that was cut off rather than changed.

    A sector that never was written is zeros, from its beginning to its end: so are then the first byte of
    the first frame, or the last of the last, or a whole sector between.
    """
    if end <= start or view[start] == 0 or view[end - 1] != END[0] or start + size_at(view, start) > end:
        return True
    first = -(-start // _SECTOR) * _SECTOR
    return any(view[at : at + _SECTOR] == _ZEROS for at in range(first, end - _SECTOR + 1, _SECTOR))


def _written(data: bytes) -> int:
    """Where the zeros at the end begin, found in steps so that nothing large is copied."""
    end = len(data)
    while end and not any(data[max(0, end - 4096) : end]):
        end -= min(end, 4096)
    start = max(0, end - 4096)
    return start + len(data[start:end].rstrip(b"\0"))


def _next_frame(data: bytes, view: memoryview, start: int) -> int:
    at = data.find(MAGIC, start)
    while at >= 0 and frame_at(view, at) is None:
        at = data.find(MAGIC, at + 1)
    return at


def _checksum(kind: int, body: bytes | memoryview) -> int:
    return zlib.crc32(body, zlib.crc32(struct.pack("!BI", kind, len(body))))
