"""Readings of a gateway into sealed batches without a spool: for sinks that cannot lose them on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from edge_agent.contract import METERING_UNIT, Batch, Reading
from edge_agent.sealing import BATCH_READINGS, Sealed, leading_group, pack
from simulator.world import Gateway

LONGEST_TOPIC = 128
"""Bytes left free for the topic, so that the batches would fit a message as they are."""


def epoch_of(seed: int, gateway: str, start_ms: int) -> int:
    """The epoch of a gateway in a run: its second in the high 31 bits, 32 bits of seed and name below.

    The same run again gives the same bytes; another run of the same gateway never shares an epoch.
    """
    digest = hashlib.blake2b(f"{seed}/{gateway}/{start_ms}".encode(), digest_size=4).digest()
    return (start_ms // 1000 & 0x7FFF_FFFF) << 32 | int.from_bytes(digest, "big")


class Sealer:
    """Numbers the readings of one gateway and packs them into batches."""

    def __init__(self, gateway: Gateway, epoch: int) -> None:
        self._name = gateway.name
        self._epoch = epoch
        self._links_due = gateway.definitions
        self._next_sequence = 0
        self._waiting: list[tuple[int, Reading]] = []

    def add(self, readings: Sequence[Reading]) -> None:
        """Take the readings for the next batches."""
        self._waiting += enumerate(readings, self._next_sequence)
        self._next_sequence += len(readings)

    def seal(self, now_ms: int) -> list[Sealed]:
        """All that waits, as batches; the first ones carry the link definitions."""
        sealed: list[Sealed] = []
        while group := leading_group(self._waiting[:BATCH_READINGS]):
            self._waiting = self._waiting[len(group) :]
            readings = tuple(reading for _, reading in group)
            batch = Batch(self._name, self._epoch, group[0][0], now_ms, readings, self._links_due)
            for part, payload in pack(batch, METERING_UNIT - LONGEST_TOPIC):
                sealed.append(Sealed(part.first_sequence, payload, len(part.readings)))
                self._links_due = self._links_due[len(part.links) :]
        return sealed
