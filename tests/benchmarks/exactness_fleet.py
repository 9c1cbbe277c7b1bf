"""A fleet's minutes with what goes wrong on the way: which batch comes when, how often, or never."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from zlib import crc32

from edge_agent.contract import Batch, Loss, Reading, encode, row
from simulator.sealer import epoch_of
from simulator.world import Gateway, build

MINUTE_MS = 60_000
INTERVAL_MS = 10_000
GATEWAYS, LINKS = 50, 10
READINGS = 6 * (LINKS + 1)
"""Of a gateway and minute: each link's echo and one interface every 10 s."""
TWICE, LATE, NEVER = 0.03, 0.08, 0.004
"""Parts of the batches that come twice, that come late, and that do not come by themselves."""
LATEST_MS = 3 * 3_600_000
GAP_LINK = "host"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A batch on its way into the stream."""

    at_ms: int
    gateway: str
    data: bytes
    readings: int


@dataclass(slots=True)
class Fleet:
    """Batches of all gateways, minute by minute from a start, until so many readings are made."""

    seed: int
    start_ms: int
    readings: int
    gateways: int = GATEWAYS
    never: float = NEVER
    accepted: int = 0
    """Readings that the cloud must have in the end."""
    withheld: dict[tuple[str, int], Batch] = field(default_factory=dict)
    """By gateway and first number: sent when they are asked for."""
    gone: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """By gateway the numbers [first, end) that never come."""
    _told: dict[str, list[Reading]] = field(default_factory=dict)
    _sequence: dict[str, int] = field(default_factory=dict)
    _previous: dict[str, Batch] = field(default_factory=dict)

    def minutes(self) -> Iterator[tuple[int, list[Batch], list[Delivery]]]:
        """Each minute's end, the batches that will arrive, and when each does."""
        world = build(self.seed, self.gateways, LINKS)
        rng = random.Random(f"exactness/{self.seed}")
        minute, made = 0, 0
        while made < self.readings:
            end_ms = self.start_ms + (minute + 1) * MINUTE_MS
            batches = [self._batch(gateway, end_ms) for gateway in world.gateways]
            made += sum(len(batch.readings) for batch in batches)
            is_last = made >= self.readings
            arriving: list[Batch] = []
            deliveries: list[Delivery] = []
            for batch in batches:
                if minute and not is_last and rng.random() < self.never and self._lose(batch, end_ms, rng):
                    continue
                arriving.append(batch)
                deliveries += self._deliveries(batch, end_ms, rng, is_last)
                if is_last and batch.gateway in self._previous:
                    # What comes again last of all must not set the latest state back.
                    deliveries.append(delivery(self._previous[batch.gateway], end_ms + 2 * MINUTE_MS))
                self._previous[batch.gateway] = batch
            self.accepted += sum(len(batch.readings) for batch in arriving)
            yield end_ms, arriving, deliveries
            minute += 1

    def answer(self, topic: str, payload: bytes, now_ms: int) -> list[tuple[Batch, Delivery]]:
        """What a gateway sends again when it is asked to."""
        gateway, asked = topic.split("/")[2], json.loads(payload)
        found = []
        for number in range(asked["first"], asked["last"] + 1):
            kept = self.withheld.pop((gateway, number), None)
            if kept and kept.epoch == int(asked["epoch"], 16):
                self.accepted += len(kept.readings)
                found.append((kept, delivery(kept, now_ms + 30_000)))
        return found

    def _batch(self, gateway: Gateway, end_ms: int) -> Batch:
        readings = [
            reading
            for at_ms in range(end_ms - MINUTE_MS + INTERVAL_MS, end_ms + 1, INTERVAL_MS)
            for reading in gateway.readings(at_ms, INTERVAL_MS)
        ]
        readings += self._told.pop(gateway.name, [])
        first = self._sequence.get(gateway.name, 0)
        self._sequence[gateway.name] = first + len(readings)
        epoch = epoch_of(self.seed, gateway.name, self.start_ms)
        links = gateway.definitions if first == 0 else ()
        return Batch(gateway.name, epoch, first, end_ms, tuple(readings), links)

    def _lose(self, batch: Batch, end_ms: int, rng: random.Random) -> bool:
        """Keep a batch back: until it is asked for, or for ever; then half of them are told of."""
        first, count = batch.first_sequence, len(batch.readings)
        if any(reading.kind == "gap" for reading in batch.readings):
            return False
        if rng.random() < 0.5:
            self.withheld[batch.gateway, first] = batch
            return True
        self.gone.setdefault(batch.gateway, []).append((first, first + count))
        if rng.random() < 0.5:
            told = row(
                "gap", reason=int(Loss.FULL), epoch=batch.epoch, first_sequence=first, count=count,
                from_ms=batch.first_ms, until_ms=batch.last_ms,
            )  # fmt: skip
            self._told[batch.gateway] = [Reading(GAP_LINK, "gap", end_ms + 1_000, told)]
        return True

    def _deliveries(self, batch: Batch, end_ms: int, rng: random.Random, is_last: bool) -> Iterator[Delivery]:
        # Gateways seal at moments of their own, each minute at the same.
        at_ms = end_ms + crc32(batch.gateway.encode()) % MINUTE_MS + rng.randrange(200, 2_000)
        if not is_last and rng.random() < LATE:
            # Half overtaken by the next ones, half as the backlog of an outage, each after its rollups.
            short = rng.random() < 0.5
            at_ms += rng.randrange(60_000, 300_000) if short else rng.randrange(900_000, LATEST_MS)
        yield delivery(batch, at_ms)
        if rng.random() < TWICE:
            yield delivery(batch, at_ms + rng.choice((0, rng.randrange(1_000), rng.randrange(1_800_000))))


def delivery(batch: Batch, at_ms: int) -> Delivery:
    """A batch as the rule puts it into the stream at this moment."""
    envelope = {
        "b": base64.b64encode(encode(batch)).decode(),
        "thing": batch.gateway,
        "rx": at_ms,
        "client": batch.gateway,
        "principal": "c0ffee",
    }
    return Delivery(at_ms, batch.gateway, json.dumps(envelope).encode(), len(batch.readings))
