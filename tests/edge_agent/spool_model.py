"""What a spool promises, as a model: a cloud that remembers what it got, and the books that must balance."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from edge_agent.contract import Batch, Flag, Link, Loss, Reading, decode
from edge_agent.spool import Disk, MemoryDisk, Spool
from edge_agent.taken import Taken

NOW_MS = 1_790_000_500_000
LINKS = (Link("north", target="10.0.0.2"), Link("south", target="10.0.0.3"))


def echo(number: int, link: str = "north", boot: str = "") -> Taken:
    """A distinct reading: its time is its number."""
    figures = [1000 + (number * 7919 + column * 104_729) % 9000 for column in range(7)]
    values = (5, 5, 0, 0, 0, 0, *figures, 0, 64)
    reading = Reading(link, "echo", 1_790_000_000_000 + number, values, Flag.CLOCK_SYNCED)
    return Taken(reading, boot, number if boot else 0)


def spool_on(disk: Disk, max_bytes: int = 1 << 20, when_full: str = "drop-oldest") -> Spool:
    """A spool of gateway gw-1."""
    return Spool(disk, "gw-1", LINKS, max_bytes, 40, when_full=when_full)


def seal_all(spool: Spool, now_ms: int = NOW_MS) -> None:
    """Seal until nothing is left."""
    while spool.seal(now_ms):
        pass


class Cut(Exception):
    """The power is cut, or the process killed, in the middle of an operation of the disk."""


@dataclass
class Cloud:
    """Keeps batches by their identity, and insists that the same identity means the same bytes."""

    batches: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def take(self, payload: bytes) -> None:
        batch = decode(payload)
        key = (batch.epoch, batch.first_sequence)
        assert self.batches.setdefault(key, payload) == payload, "the same batch with other bytes"

    @property
    def decoded(self) -> list[Batch]:
        return [decode(payload) for _, payload in sorted(self.batches.items(), key=lambda each: each[0][1])]

    @property
    def readings(self) -> list[Reading]:
        return [reading for batch in self.decoded for reading in batch.readings]

    @property
    def numbers(self) -> list[int]:
        """Every sequence number that arrived, of whatever epoch; a spool goes on counting."""
        spans = [(batch.first_sequence, len(batch.readings)) for batch in self.decoded]
        return [number for first, count in spans for number in range(first, first + count)]

    @property
    def echoes(self) -> list[int]:
        """The numbers of the readings that arrived."""
        return [each.at_ms - 1_790_000_000_000 for each in self.readings if each.kind == "echo"]

    def gaps(self) -> list[tuple[Loss, int, int]]:
        """Reason, first number and count of each gap of numbered readings."""
        told = [each for each in self.readings if each.kind == "gap" and each["first_sequence"] is not None]
        return [(Loss(each["reason"] or 0), each["first_sequence"] or 0, each["count"] or 0) for each in told]

    @property
    def missing(self) -> list[int]:
        """Every number that a gap has told."""
        return [number for _, first, count in self.gaps() for number in range(first, first + count)]


def drain(spool: Spool, cloud: Cloud, newest_first: bool = False) -> None:
    """Seal and deliver all there is."""
    while True:
        seal_all(spool)
        batches = spool.pending(7, newest_first)
        if not batches:
            return
        spool.sending(batches)
        for each in batches:
            cloud.take(each.payload)
            spool.ack(each.first_sequence)


def require_balance(spool: Spool, cloud: Cloud, acks_were_lost: bool = False) -> None:
    """After all is drained: each number arrived once or is told missing once, and the counts add up.

    ``acks_were_lost``: what arrived without the gateway having heard so may be told missing as well.
    """
    stats = spool.stats()
    arrived, missing = cloud.numbers, cloud.missing
    assert len(set(arrived)) == len(arrived), "a number arrived twice"
    assert len(set(cloud.echoes)) == len(cloud.echoes), "a reading arrived twice"
    assert len(set(missing)) == len(missing), "a number was told missing twice"
    if not acks_were_lost:
        assert not set(arrived) & set(missing), "a number arrived and is told missing"
    unnumbered = stats.dropped_by[Loss.MEMORY] + stats.dropped_by[Loss.IMPOSSIBLE]
    assert sorted({*arrived, *missing}) == list(range(stats.accepted - unnumbered))
    assert stats.held == 0
    assert stats.dropped - unnumbered == len(missing)


@dataclass
class Life:
    """A spool that is used, killed and opened again at random."""

    rng: random.Random
    disk: MemoryDisk = field(default_factory=MemoryDisk)
    cloud: Cloud = field(default_factory=Cloud)
    accepted: list[int] = field(default_factory=list)
    made: int = 0
    max_bytes: int = 1 << 20
    when_full: str = "drop-oldest"

    def __post_init__(self) -> None:
        self.spool = self.opened()

    def opened(self) -> Spool:
        return spool_on(self.disk, self.max_bytes, when_full=self.when_full)

    def act(self) -> None:
        """One random operation."""
        action: Callable[[], None] = self.rng.choice(
            [
                self.append,
                self.append,
                self.append,
                self.seal,
                self.deliver,
                self.deliver_unacked,
                self.resend,
            ]
        )
        action()

    def append(self) -> None:
        count = self.rng.choice([1, 3, 20, 50])
        numbers = list(range(self.made, self.made + count))
        self.made += count
        self.spool.append([echo(number, self.rng.choice(["north", "south"])) for number in numbers])
        self.accepted += numbers

    def fill(self, count: int) -> None:
        """Readings enough to need room, sealed."""
        for _ in range(count // 100):
            numbers = list(range(self.made, self.made + 100))
            self.made += 100
            self.spool.append([echo(number, "south" if number % 3 else "north") for number in numbers])
            self.accepted += numbers
            self.spool.seal(NOW_MS + self.made)

    def seal(self) -> None:
        self.spool.seal(NOW_MS + self.made, full_only=self.rng.random() < 0.3)

    def deliver(self) -> None:
        batches = self.spool.pending(self.rng.randint(1, 5), self.rng.random() < 0.5)
        self.spool.sending(batches)
        for each in batches:
            self.cloud.take(each.payload)
            self.spool.ack(each.first_sequence)

    def deliver_unacked(self) -> None:
        batches = self.spool.pending(self.rng.randint(1, 5), self.rng.random() < 0.5)
        self.spool.sending(batches)
        for each in batches:
            self.cloud.take(each.payload)

    def resend(self) -> None:
        stats = self.spool.stats()
        first = self.rng.randrange(max(1, stats.accepted))
        self.spool.resend(stats.epoch, first, first + self.rng.randrange(200))

    def cut(self, power: bool) -> None:
        """Cut the power, or kill the process, at some operation of the disk, and open the spool again."""
        left = self.rng.randrange(12)

        def fault(operation: str, name: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Cut

        self.disk.fault = fault
        try:
            while True:
                self.act()
        except Cut:
            pass
        self.disk = self.disk.after_power_cut(self.rng) if power else self.disk.after_kill()
        self.spool = self.opened()

    def finish(self, acks_were_lost: bool = False) -> None:
        """Deliver all that is left and check the books."""
        drain(self.spool, self.cloud)
        require_balance(self.spool, self.cloud, acks_were_lost)
