"""What one direction of the lab's wire does to frames: a description, and the model that carries it out."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass

NS_PER_MS = 1_000_000
QUEUE_BYTES = 10_000_000


@dataclass(frozen=True, slots=True)
class Shape:
    """One direction of a wire; the default passes everything at once.

    A frame's length is that of its Ethernet frame without the check sequence. Probabilities are of one
    frame. Times of outages count from the first frame that either direction carried.
    """

    delay_ms: float = 0
    jitter_ms: float = 0
    """Uniform between 0 and this, added to the delay; the order of frames is kept."""
    loss: float = 0
    lose: tuple[int, ...] = ()
    """Frames to lose, counted from 0 in this direction, beside those that ``loss`` takes."""
    duplicate: float = 0
    corrupt: float = 0
    """The last byte of the frame is inverted, its checksums left as they were."""
    reorder: float = 0
    """Such a frame is held back by ``reorder_ms`` while those behind it pass."""
    reorder_ms: float = 0
    rate_kbps: float = 0
    """0 for no limit. Frames leave when their last bit has left."""
    queue_bytes: int = QUEUE_BYTES
    """What may wait for the rate; a frame that does not fit is dropped."""
    outages: tuple[tuple[float, float], ...] = ()
    """From and to, s: whatever comes in between is lost."""
    slot_ms: float = 0
    """Time-slotted: frames leave together at the end of a slot, as many as its share of the rate holds."""
    aggregate_ms: float = 0
    """Aggregating: frames leave together, this long after the first of them."""
    aggregate_bytes: int = 65_535
    bucket_bytes: int = 0
    """Token bucket: so much passes at ``bucket_peak_kbps`` before ``rate_kbps`` holds."""
    bucket_peak_kbps: float = 0
    until: int = 0
    """Frames from this index on are not lost, duplicated, corrupted or held back; 0 for no end."""

    def __post_init__(self) -> None:
        if (self.slot_ms or self.bucket_bytes) and not self.rate_kbps:
            raise ValueError("slots and token buckets need rate_kbps")
        if self.slot_ms and self.rate_kbps * self.slot_ms / 8 < 1514:
            raise ValueError("a slot must hold a full frame: raise slot_ms or rate_kbps")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happens to one frame: when its copies are due (none when it is lost), and why."""

    due_ns: tuple[int, ...]
    fate: str
    """passed, duplicated, corrupted or held; lost, outage or overflow when it never leaves."""
    corrupted: bool = False


class Direction:
    """The model of one direction; the same seed and the same frames give the same verdicts."""

    def __init__(self, shape: Shape, seed: str) -> None:
        self._shape = shape
        self._rng = random.Random(seed)
        self._index = -1
        self._last_due_ns = 0
        self._lose = frozenset(shape.lose)
        self._outages = [(int(begin * 1e9), int(end * 1e9)) for begin, end in shape.outages]
        self._gate = _gate(shape)

    def offer(self, now_ns: int, age_ns: int, length: int) -> Verdict:
        """Judge the next frame, ``age_ns`` after the wire's first one; times only ever grow."""
        shape, rng = self._shape, self._rng
        self._index += 1
        # Always the same draws, so that one condition does not change which frames another one hits.
        lose, twice, spoil, hold, spread = (rng.random() for _ in range(5))
        if shape.until and self._index >= shape.until:
            lose = twice = spoil = hold = 1.0
        if any(begin <= age_ns < end for begin, end in self._outages):
            return Verdict((), "outage")
        if lose < shape.loss or self._index in self._lose:
            return Verdict((), "lost")
        left_ns = self._gate.leave(now_ns, length)
        if left_ns is None:
            return Verdict((), "overflow")
        due_ns = left_ns + int((shape.delay_ms + spread * shape.jitter_ms) * NS_PER_MS)
        if hold < shape.reorder:
            return Verdict((due_ns + int(shape.reorder_ms * NS_PER_MS),), "held")
        due_ns = self._last_due_ns = max(due_ns, self._last_due_ns)
        if twice < shape.duplicate:
            return Verdict((due_ns, due_ns), "duplicated")
        if spoil < shape.corrupt:
            return Verdict((due_ns,), "corrupted", True)
        return Verdict((due_ns,), "passed")


class Gate:
    """No limit: a frame leaves when it comes."""

    def leave(self, now_ns: int, length: int) -> int | None:
        """When the frame's last bit leaves; None when it does not fit the queue."""
        return now_ns


class Queue:
    """What waits for its turn, in bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._backlog = 0
        self._waiting: deque[tuple[float, int]] = deque()

    def fits(self, now_ns: int, length: int) -> bool:
        """Whether there is room for a frame beside those that have not left by now."""
        while self._waiting and self._waiting[0][0] <= now_ns:
            self._backlog -= self._waiting.popleft()[1]
        return self._backlog + length <= self._limit

    def add(self, leaves_ns: float, length: int) -> None:
        """Let a frame wait until it leaves; each leaves no earlier than the one before."""
        self._backlog += length
        self._waiting.append((leaves_ns, length))


class Serial(Gate):
    """A queue before a line of some rate; with a bucket, at its peak rate while there are tokens."""

    def __init__(self, shape: Shape) -> None:
        self._ns_per_byte = 8_000_000 / shape.rate_kbps
        self._peak_ns_per_byte = 8_000_000 / (shape.bucket_peak_kbps or 1e9)
        self._bucket_bytes = shape.bucket_bytes
        self._tokens: float = shape.bucket_bytes
        self._free_ns: float = 0
        self._queue = Queue(shape.queue_bytes)

    def leave(self, now_ns: int, length: int) -> int | None:
        """When the frame's last bit leaves; None when it does not fit the queue."""
        if not self._queue.fits(now_ns, length):
            return None
        begin_ns = max(float(now_ns), self._free_ns)
        if self._bucket_bytes:
            left_ns = self._through_bucket(begin_ns, length)
        else:
            left_ns = begin_ns + length * self._ns_per_byte
        self._free_ns = left_ns
        self._queue.add(left_ns, length)
        return int(left_ns)

    def _through_bucket(self, begin_ns: float, length: int) -> float:
        filled = self._tokens + (begin_ns - self._free_ns) / self._ns_per_byte
        tokens = min(filled, self._bucket_bytes)
        left_ns = begin_ns + length * self._peak_ns_per_byte
        tokens += (left_ns - begin_ns) / self._ns_per_byte - length
        if tokens < 0:
            left_ns -= tokens * self._ns_per_byte
            tokens = 0
        self._tokens = tokens
        return left_ns


class Slotted(Gate):
    """A line that is ours in turns: what waits leaves together at the end of a slot."""

    def __init__(self, shape: Shape) -> None:
        self._slot_ns = int(shape.slot_ms * NS_PER_MS)
        self._capacity = shape.rate_kbps * shape.slot_ms / 8
        self._queue = Queue(shape.queue_bytes)
        self._slot, self._used = 0, 0

    def leave(self, now_ns: int, length: int) -> int | None:
        """The end of the first slot that has room; None when it does not fit the queue."""
        if not self._queue.fits(now_ns, length):
            return None
        slot, used = now_ns // self._slot_ns + 1, 0
        if slot <= self._slot:
            slot, used = self._slot, self._used
        if used + length > self._capacity:
            slot, used = slot + 1, 0
        self._slot, self._used = slot, used + length
        self._queue.add(slot * self._slot_ns, length)
        return slot * self._slot_ns


class Aggregating(Gate):
    """A line that gathers what leaves the one before it and lets it go together."""

    def __init__(self, shape: Shape, line: Gate) -> None:
        self._line = line
        self._gather_ns = int(shape.aggregate_ms * NS_PER_MS)
        self._bytes = shape.aggregate_bytes
        self._leaves_ns, self._used = -1, 0

    def leave(self, now_ns: int, length: int) -> int | None:
        """When the frame's aggregate leaves; None when the frame does not fit the queue."""
        left_ns = self._line.leave(now_ns, length)
        if left_ns is None:
            return None
        if left_ns > self._leaves_ns or self._used + length > self._bytes:
            self._leaves_ns, self._used = max(left_ns + self._gather_ns, self._leaves_ns), 0
        self._used += length
        return self._leaves_ns


def _gate(shape: Shape) -> Gate:
    if shape.slot_ms:
        return Slotted(shape)
    line = Serial(shape) if shape.rate_kbps else Gate()
    return Aggregating(shape, line) if shape.aggregate_ms else line
