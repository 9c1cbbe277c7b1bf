"""The spool: a durable, bounded log of readings, sealed into batches once, let go on acknowledgement.

What ``append``, ``seal`` and ``sending`` have returned survives a power cut. Readings have consecutive
sequence numbers; what the bound, damage or a refusal costs is counted and told to the cloud in gap
readings, so accepted = acked + dropped + held.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from edge_agent.contract import METERING_UNIT, Link, Loss
from edge_agent.sealing import BATCH_READINGS, Sealed, to_row
from edge_agent.spool.disk import Disk
from edge_agent.spool.failure import SpoolBusy, SpoolError, SpoolUnusable
from edge_agent.spool.layout import layout
from edge_agent.spool.losses import Lost
from edge_agent.spool.marks import encode_facts
from edge_agent.spool.records import Record, Trait
from edge_agent.spool.recovery import open_store
from edge_agent.spool.room import batch_losses
from edge_agent.spool.sealer import Sealer
from edge_agent.spool.segments import ACKED, ASKED, GONE, LINKS, SENT, Segment
from edge_agent.spool.stats import SpoolStats, stats_of
from edge_agent.spool.store import Store
from edge_agent.taken import Settle, Taken, as_taken


def new_epoch(now_s: float, random_bits: Callable[[int], int] = secrets.randbits) -> int:
    """A number for a new spool: its second in the high 31 bits, 32 random bits below.

    The random half keeps apart two spools that began in the same second of a wrong clock.
    """
    return (int(now_s) & 0x7FFF_FFFF) << 32 | random_bits(32)


class Spool:
    """The log of one gateway; may be called from any thread, one call runs at a time."""

    def __init__(
        self,
        disk: Disk,
        gateway: str,
        links: Sequence[Link],
        max_bytes: int,
        topic_bytes: int,
        *,
        when_full: str = "drop-oldest",
        batch_readings: int = BATCH_READINGS,
        now_s: Callable[[], float] = time.time,
        random_bits: Callable[[int], int] = secrets.randbits,
    ) -> None:
        """Open the spool on a disk; ``topic_bytes`` is the length of the topic it goes to.

        Raises SpoolBusy or SpoolUnusable. A disk that is merely full or read-only does not keep the agent
        from starting: each call tries again.
        """
        self._disk = disk
        self._gateway = gateway
        self._layout = layout(max_bytes)
        self._when_full = when_full
        self._now_s = now_s
        self._random_bits = random_bits
        self._max_payload = METERING_UNIT - topic_bytes
        self._sealer = Sealer(links, batch_readings, self._max_payload)
        self._mutex = threading.Lock()
        self._store: Store | None = None
        try:
            self.stats()
        except (SpoolBusy, SpoolUnusable):
            self.close()
            raise
        except SpoolError:
            pass

    def append(self, readings: Sequence[Taken]) -> None:
        """Keep the readings, durably when this returns; the oldest give way when the spool is full.

        Raises ContractError for an impossible reading and SpoolError; then none was kept.
        """
        rows = [to_row(each) for each in readings]
        if not rows:
            return
        latest_ms = max((each.reading.at_ms for each in readings if not each.boot), default=0)
        with self._opened() as store:
            store.append(rows, latest_ms)

    def lost(self, count: int, reason: Loss) -> None:
        """Tell of readings that never got a number."""
        with self._opened() as store:
            store.lose([Lost(reason, None, count)])

    def seal(self, now_ms: int, settle: Settle = as_taken, full_only: bool = False) -> int:
        """Pack the unsealed readings into batches that never change again; returns how many batches.

        Some 64 at most in one call. It stops at a reading that ``settle`` holds. ``full_only`` leaves the
        last batch open while it has room, and makes larger ones: for times when nothing can be sent.
        """
        with self._opened() as store:
            return self._sealer.seal(store, now_ms, settle, full_only)

    def pending(self, limit: int, newest_first: bool = False) -> list[Sealed]:
        """Batches to send, at most ``limit``: urgent ones, then those asked for again, then in order."""
        found: list[Sealed] = []
        with self._opened() as store:
            for segment, place in _order(store, newest_first):
                if len(found) >= limit:
                    break
                batch = store.segments.read(segment, place)
                if batch is None:
                    self._drop(store, segment, place, Loss.DAMAGED)
                    continue
                head, payload = batch
                is_urgent = bool(head.traits & Trait.URGENT)
                found.append(Sealed(head.first, payload, head.count, head.last_ms, is_urgent))
        return found

    def sending(self, batches: Sequence[Sealed]) -> None:
        """Remember, durably when this returns, that these are about to be sent: they never change again."""
        with self._opened() as store:
            places = [place for each in batches if (place := store.segments.find(each.first_sequence))]
            new = [(segment, at) for segment, at in places if not segment.marks[at] & SENT]
            spans = [(segment.firsts[at], segment.firsts[at] + segment.counts[at]) for segment, at in new]
            store.note(encode_facts(Record.SENDING, spans), durable=True)
            for segment, at in new:
                segment.marks[at] |= SENT

    def ack(self, first_sequence: int) -> None:
        """Count a batch as arrived; one that is gone already is no error.

        Not synced at once: after a power cut it is sent again, and the same bytes are the same batch.
        """
        with self._opened() as store:
            found = store.segments.find(first_sequence)
            if found is None or found[0].marks[found[1]] & ACKED:
                return
            segment, place = found
            store.settle(segment, place, ACKED)
            store.note(encode_facts(Record.ACKED, [(first_sequence, first_sequence + segment.counts[place])]))

    def refuse(self, first_sequence: int) -> None:
        """Let go of a batch that the broker will never take, and tell of the gap."""
        with self._opened() as store:
            found = store.segments.find(first_sequence)
            if found is not None and found[0].waits[found[1]]:
                self._drop(store, *found, Loss.REFUSED)

    def resend(self, epoch: int, first: int, last: int) -> int:
        """Send the batches again that have numbers of this range; returns the readings in them."""
        count = 0
        spans: list[tuple[int, int]] = []
        with self._opened() as store:
            for segment in store.segments.files:
                if segment.epoch != epoch or segment.end <= first or segment.start > last:
                    continue
                for place, start in enumerate(segment.firsts):
                    end = start + segment.counts[place]
                    if end <= first or start > last or segment.marks[place] & GONE:
                        continue
                    store.segments.revive(segment, place)
                    segment.marks[place] |= ASKED
                    store.asked[start] = None
                    spans.append((start, end))
                    count += end - start
            store.note(encode_facts(Record.ASKED, spans))
        return count

    def latest_ms(self) -> int:
        """The newest time of what came last, sealed or from a believed clock, ms; 0 when there is none."""
        with self._opened() as store:
            return store.latest_ms

    def stats(self) -> SpoolStats:
        """Counts since it began."""
        with self._opened() as store:
            return stats_of(store)

    def close(self) -> None:
        """Let go of the files and of the lock on them."""
        with self._mutex:
            self._store = None
            self._disk.close()

    def _drop(self, store: Store, segment: Segment, place: int, reason: Loss) -> None:
        losses = [each for each in batch_losses(store, segment, place, reason) if not each.is_counted]
        links = segment.marks[place] & LINKS
        store.lose(losses)
        store.settle(segment, place, GONE)
        store.redefine = store.redefine or bool(links)

    @contextmanager
    def _opened(self) -> Iterator[Store]:
        with self._mutex:
            try:
                if self._store is None:
                    self._disk.lock()
                    epoch = lambda: new_epoch(self._now_s(), self._random_bits)  # noqa: E731
                    store = open_store(self._disk, self._gateway, self._layout, epoch, self._now_s)
                    store.when_full, store.max_payload = self._when_full, self._max_payload
                    self._store = store
                yield self._store
            except OSError as exc:
                if self._store is not None and self._store.is_in_doubt:
                    self._store = None
                raise SpoolError(f"{self._disk}: {exc.strerror or exc}") from exc


def _order(store: Store, newest_first: bool) -> Iterator[tuple[Segment, int]]:
    """Batches in the order of sending."""
    first = [*sorted(store.urgent), *sorted(each for each in store.asked if each not in store.urgent)]
    for each in first:
        found = store.segments.find(each)
        if found is not None and found[0].waits[found[1]]:
            yield found
    for segment, place in store.segments.waiting_places(newest_first):
        number = segment.firsts[place]
        if number not in store.urgent and number not in store.asked:
            yield segment, place
