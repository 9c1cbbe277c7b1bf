"""The audit's look at latest states: each beside the stored batch that it says it is of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from cloud import keys, latest
from cloud.audit_check import Check
from cloud.audit_wire import Content, StoredBatch, StoredReading
from cloud.latest import Latest, Series
from edge_agent.contract import ContractError

LIVE_MS = 900_000
"""A batch whose last reading is younger than that is live whenever it comes: it must be taken in."""
AHEAD_MS = 120_000
"""Times that far after their reception are clamped to it."""
SENT = {
    "echo": ("sent", "in_flight", ("received", "late")),
    "stamp": ("sent", "in_flight", ("received", "late")),
    "connect": ("sent", "", ("connected", "refused")),
    "http": ("sent", "", ("answered", "refused")),
    "dns": ("sent", "", ("answered",)),
}
"""By kind, the columns of what was tried, of what is still on its way, and of what came back."""
Version = tuple[int, int, int]
"""Last time (ms), epoch and first sequence of a batch: how new it is."""
IsStored = Callable[[str, str, str, int, Content], bool]
"""Whether the table has a reading: gateway, link, kind, time (ms) and content."""


@dataclass(slots=True)
class LatestStates:
    """Latest states, read before the chunks: a state never knows more than the chunks do."""

    spans: Mapping[str, tuple[int, int]]
    now_ms: int
    check: Check = field(default_factory=lambda: Check("latest states"))
    states: dict[str, Latest] = field(default_factory=dict)
    """By gateway, those that can be read."""
    _newest: dict[str, Version] = field(default_factory=dict)
    _batches: dict[str, StoredBatch] = field(default_factory=dict)

    def take(self, items: Iterable[keys.Item]) -> None:
        """Take the items of the latest table that are of generating gateways."""
        for item in items:
            gateway = item[keys.LATEST_KEY]["S"]
            if gateway not in self.spans:
                continue
            try:
                self.states[gateway] = latest.parse(item)
            except ContractError as error:
                self.check.differ(gateway, f"its state cannot be read: {error}")
                self._newest[gateway] = (0, 0, 0)

    def see(self, batch: StoredBatch) -> None:
        """Look at a chunk of the table."""
        version = version_of(batch)
        if version > self._newest.get(batch.gateway, (-1, 0, 0)):
            self._newest[batch.gateway] = version
        state = self.states.get(batch.gateway)
        own = state and (state.newest.epoch, state.newest.first_sequence)
        if own == (batch.epoch, batch.first_sequence):
            self._batches[batch.gateway] = batch

    def compare(self, is_stored: IsStored) -> Check:
        """Compare all states with what was seen."""
        for gateway in sorted(self.spans):
            state, newest = self.states.get(gateway), self._newest.get(gateway)
            must_be_known = newest is not None and newest[0] >= self.now_ms - LIVE_MS
            if state is None:
                if must_be_known:
                    self._differ_for_now(gateway, "has no latest state")
                else:
                    self.check.open += 1
                continue
            self.check.compared += 1
            for detail in self._differences(state, is_stored):
                self.check.differ(gateway, detail)
            version = state.newest.first_ms, state.newest.epoch, state.newest.first_sequence
            if newest is not None and must_be_known and newest > version and gateway in self._batches:
                self._differ_for_now(gateway, f"its state is of {version}, its newest batch is {newest}")
        return self.check

    def _differ_for_now(self, gateway: str, detail: str) -> None:
        self.check.differ(gateway, detail)
        self.check.heals = True

    def _differences(self, state: Latest, is_stored: IsStored) -> Iterator[str]:
        batch = self._batches.get(state.gateway)
        if batch is None:
            yield f"is of a batch that is not stored: {state.newest}"
            return
        last_ms = version_of(batch)[0]
        is_ahead = last_ms > state.rx_ms + AHEAD_MS
        if state.newest.first_ms != (min(last_ms, state.rx_ms) if is_ahead else last_ms):
            yield f"time: recomputed {last_ms}, stored {state.newest.first_ms}"
        numbered = batch.first_sequence + len(batch.readings)
        if state.readings != numbered:
            yield f"readings numbered: recomputed {numbered}, stored {state.readings}"
        brought = series_of(batch)
        stored = {(each.reading.kind, each.reading.link): each for each in state.series}
        if not state.left_out:
            for kind, link in sorted(brought.keys() - stored.keys()):
                yield f"{link} {kind}: not stored"
        for (kind, link), series in sorted(stored.items(), key=lambda each: each[0]):
            for detail in _series_differences(series, brought.get((kind, link), []), state, is_ahead):
                yield f"{link} {kind} {detail}"
            if (kind, link) not in brought and not is_ahead:
                given = series.reading
                if not is_stored(state.gateway, link, kind, given.at_ms, _content(series)):
                    yield f"{link} {kind}: the reading of {given.at_ms} is not one that is stored"


def _series_differences(
    series: Series, brought: list[StoredReading], state: Latest, is_ahead: bool
) -> Iterator[str]:
    """How the newest reading of a series differs from the newest one that its batch brought."""
    if not brought:
        return
    newest = max(brought, key=lambda each: each.at_ms)  # of several the last one, as they are reversed
    at_ms = min(newest.at_ms, state.rx_ms) if is_ahead else newest.at_ms
    if series.reading.at_ms > at_ms:
        return  # its clock was set back: an earlier batch had a later one
    sent, lost = counted(brought)
    pairs = (
        ("time", at_ms, series.reading.at_ms),
        ("content", newest.content, _content(series)),
        ("sent", sent, series.sent),
        ("lost", lost, series.lost),
    )
    for name, ours, theirs in pairs:
        if ours != theirs:
            yield f"{name}: recomputed {ours}, stored {theirs}"


def _content(series: Series) -> Content:
    given = series.reading
    return (int(given.flags), int(given.outcome), *given.values)


def series_of(batch: StoredBatch) -> dict[tuple[str, str], list[StoredReading]]:
    """The readings of a batch by kind and link, the last one first."""
    found: dict[tuple[str, str], list[StoredReading]] = {}
    for each in reversed(batch.readings):
        found.setdefault((each.kind, each.link), []).append(each)
    return found


def counted(readings: Iterable[StoredReading]) -> tuple[int, int]:
    """Round trips tried and lost; what is in flight is neither, and a late reply is a reply."""
    sent = answered = 0
    for each in readings:
        if each.kind not in SENT or each.content[1]:
            continue
        tried, waiting, replies = SENT[each.kind]
        told = each.column(tried)
        if told is None or each.column(replies[0]) is None:
            continue
        sent += max(told - ((each.column(waiting) or 0) if waiting else 0), 0)
        answered += sum(each.column(name) or 0 for name in replies)
    return sent, max(sent - answered, 0)


def version_of(batch: StoredBatch) -> Version:
    """How new a batch is."""
    return max(each.at_ms for each in batch.readings), batch.epoch, batch.first_sequence
