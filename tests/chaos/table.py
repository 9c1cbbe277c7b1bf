"""The far end: what a table keyed by (gateway, epoch, first sequence) holds after all deliveries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edge_agent.contract import Batch, ContractError, Loss, Reading, decode

Key = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Gap:
    """What the gateway says is missing."""

    reason: Loss
    epoch: int | None
    first: int | None
    count: int | None


class Table:
    """Takes every delivery, repeats in any order; the same key must mean the same bytes."""

    def __init__(self) -> None:
        self.items: dict[Key, bytes] = {}
        self.deliveries = 0
        self.faults: list[str] = []
        """What no table should ever see."""

    def deliver(self, payload: bytes) -> None:
        """A batch arrives."""
        self.deliveries += 1
        try:
            batch = decode(payload)
        except (ContractError, ValueError) as exc:
            self.faults.append(f"a payload does not decode: {exc}")
            return
        key = batch.gateway, batch.epoch, batch.first_sequence
        if self.items.setdefault(key, payload) != payload:
            self.faults.append(f"the same key with other bytes: epoch {key[1]:x}, sequence {key[2]}")

    def batches(self) -> Iterator[Batch]:
        """All that it holds."""
        return map(decode, self.items.values())

    def readings(self) -> Iterator[tuple[int, int, Reading]]:
        """(epoch, sequence, reading) of all that it holds."""
        for batch in self.batches():
            for place, reading in enumerate(batch.readings):
                yield batch.epoch, batch.first_sequence + place, reading

    def gaps(self) -> list[Gap]:
        """All that it was told is missing."""
        told = [reading for _, _, reading in self.readings() if reading.kind == "gap"]
        return [
            Gap(Loss(each["reason"] or 0), each["epoch"], each["first_sequence"], each["count"])
            for each in told
        ]
