"""What a spool holds and has done, in figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge_agent.contract import Loss
from edge_agent.spool.store import Store


@dataclass(frozen=True, slots=True)
class SpoolStats:
    """What the spool holds and has done since it began."""

    epoch: int
    accepted: int
    """Readings ever taken, and those reported as lost before that."""
    unsealed: int
    """Readings that wait to be sealed."""
    batches: int
    """Sealed batches that wait to be acknowledged."""
    bytes: int
    """Room that all its files take: what the bound counts."""
    acked: int
    dropped: int
    """Readings lost, of whatever reason."""
    dropped_by: Mapping[Loss, int] = field(default_factory=dict)
    oldest_ms: int | None = None
    """When the oldest reading that waits was taken, ms; None when none waits."""
    has_reserve: bool = True
    """Whether the file is there that is let go of when the disk is full."""
    damaged_bytes: int = 0
    """Found at the start or since."""
    torn_bytes: int = 0
    """Of a write that the power cut off, found at the start."""

    @property
    def held(self) -> int:
        """Readings that wait, sealed or not."""
        return self.accepted - self.acked - self.dropped


def stats_of(store: Store) -> SpoolStats:
    """The counts of an open spool."""
    state = store.state
    dropped = {reason: state.dropped[reason] for reason in Loss}
    return SpoolStats(
        epoch=state.epoch,
        accepted=state.next_sequence + state.unnumbered,
        unsealed=store.unsealed,
        batches=store.segments.waiting,
        bytes=store.size,
        acked=state.acked_gone + store.segments.acked,
        dropped=sum(dropped.values()),
        dropped_by=dropped,
        oldest_ms=oldest_ms(store),
        has_reserve=store.reserve.size > 0,
        damaged_bytes=store.damaged,
        torn_bytes=store.torn,
    )


def oldest_ms(store: Store) -> int | None:
    """When the oldest reading that waits was taken, as far as it can be told at once."""
    for segment, place in store.segments.waiting_places(False):
        try:
            batch = store.segments.read(segment, place)
        except OSError:
            return None
        return batch[0].last_ms - batch[0].span_ms if batch else None
    return None
