"""What the audit takes from the Readings table: readings to compare, and items that contradict themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cloud.audit_ledger import StoredRow
from cloud.audit_wire import StoredBatch, WireError, gateway_of, read


@dataclass(frozen=True, slots=True)
class Item:
    """One item of the Readings table."""

    p: str
    s: str
    payload: bytes
    """Of a chunk."""
    content: Mapping[str, Any] = field(default_factory=dict)
    """All attributes of what is no chunk: a rollup, a mark, a cursor, a part of the graph, gaps."""


@dataclass(frozen=True, slots=True)
class Fault:
    """An item that contradicts itself or another one, named by its key and by its first reading."""

    p: str
    s: str
    first_reading: str
    reason: str


def utc(at_ms: int) -> str:
    """Milliseconds since 1970 as UTC text; as the number itself when no calendar holds it."""
    try:
        return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"


class Survey:
    """Goes through the items of the generating gateways once; ``faults`` are complete after ``rows``."""

    def __init__(
        self,
        spans: Mapping[str, tuple[int, int]],
        see: Callable[[StoredBatch], None] = lambda batch: None,
        take: Callable[[Mapping[str, Any]], bool] = lambda item: True,
    ) -> None:
        """``see`` is shown each chunk, ``take`` what is none; it says whether it knows it."""
        self.faults: list[Fault] = []
        self.items = 0
        self.batches: list[tuple[int, int]] = []
        """Epoch and first sequence of each batch, by the number that its rows have."""
        self._spans = spans
        self._see = see
        self._take = take
        self._ranges: dict[tuple[str, int], list[tuple[int, int, Fault]]] = defaultdict(list)

    def rows(self, items: Iterable[Item]) -> Iterator[StoredRow]:
        """Their readings."""
        for item in items:
            if item.content:
                if not self._take(item.content):
                    self.faults.append(Fault(item.p, item.s, "", "nobody knows what it is"))
                continue
            batch = self._batch(item)
            if batch is not None and batch.gateway in self._spans:
                self._see(batch)
                self.batches.append((batch.epoch, batch.first_sequence))
                number = len(self.batches) - 1
                first_ms, last_ms = self._spans[batch.gateway]
                for each in batch.readings:
                    inside = first_ms <= each.at_ms <= last_ms
                    yield batch.gateway, each.link, each.kind, each.at_ms, repr(each.content), inside, number
        self._check_ranges()

    def _batch(self, item: Item) -> StoredBatch | None:
        """The content of an item that belongs, or claims to belong, to a generating gateway."""
        claimed = item.p.rpartition("#")[0]
        try:
            if claimed not in self._spans and gateway_of(item.payload) not in self._spans:
                return None
            batch = read(item.payload)
        except WireError as error:
            if claimed in self._spans:
                self.faults.append(Fault(item.p, item.s, "", f"its content {error}"))
            return None
        self.items += 1
        self._check_key(item, batch)
        end = batch.first_sequence + len(batch.readings)
        overlap = _fault(
            item, batch, f"its sequences {batch.first_sequence} to {end - 1} are also in another item"
        )
        self._ranges[batch.gateway, batch.epoch].append((batch.first_sequence, end, overlap))
        return batch

    def _check_key(self, item: Item, batch: StoredBatch) -> None:
        p = f"{batch.gateway}#{utc(batch.first_ms)[:10].replace('-', '')}"
        s = f"{batch.first_ms:013d}#{batch.epoch:016x}#{batch.first_sequence:010d}"
        if (item.p, item.s) != (p, s):
            self.faults.append(_fault(item, batch, f"its content belongs under {p} / {s}"))

    def _check_ranges(self) -> None:
        """Two items of one epoch never share a sequence number."""
        for ranges in self._ranges.values():
            reached = 0
            for start, end, overlap in sorted(ranges, key=lambda each: each[:2]):
                if start < reached:
                    self.faults.append(overlap)
                reached = max(reached, end)


def _fault(item: Item, batch: StoredBatch, reason: str) -> Fault:
    first = min(batch.readings, key=lambda reading: reading.at_ms)
    return Fault(item.p, item.s, f"{batch.gateway} {first.link} {first.kind} {utc(first.at_ms)}", reason)
