"""The audit's look at the graph snapshot: its links beside the batches that they say they are of.

The graph is of the moment at which a pass saw the latest states. Of that moment nothing is stored, so what
the readings alone say is: each link in it has a reading that is stored, with the figures of the batch that
brought it; beside the newest reading of a gateway stands every link of the same batch; and a gateway whose
latest state is from before the pass stands in it as it is. Which of the other links must be in it depends on
the order in which batches came; they are counted as not due.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cloud import keys, snapshot
from cloud.audit_check import Check
from cloud.audit_latest import AHEAD_MS, counted, series_of, version_of
from cloud.audit_wire import StoredBatch, StoredReading
from cloud.latest import Latest
from cloud.snapshot import Edge, Head, SnapshotError

_OF_GATEWAY = ("host", "agent", "gap")
"""Kinds of reading that are of no link."""
_BEST_FIRST = ("echo", "stamp", "connect", "http", "dns", "interface")
"""The first kind of a link that is there speaks for it."""
_MEDIAN = {
    "echo": "rtt_p50_us",
    "stamp": "rtt_p50_us",
    "connect": "connect_p50_us",
    "http": "first_byte_us",
    "dns": "lookup_p50_us",
}
Figures = tuple[int, int, int | None]
"""Round trips sent and lost, and the median time in µs."""
Brought = tuple[StoredBatch, list[StoredReading]]
"""A batch and its readings of one series."""


@dataclass(slots=True)
class StoredGraph:
    """What the table has of the graph; its items are handed in while it is read."""

    states: Mapping[str, Latest]
    check: Check = field(default_factory=lambda: Check("graph links"))
    _heads: dict[int, Head] = field(default_factory=dict)
    _parts: dict[tuple[str, str], keys.Item] = field(default_factory=dict)
    _edges: dict[str, list[Edge]] = field(default_factory=dict)

    def take(self, item: keys.Item) -> bool:
        """Take an item that belongs to the graph; says whether it does."""
        partition, sort = item[keys.PARTITION]["S"], item[keys.SORT]["S"]
        if not partition.startswith("G#"):
            return False
        if sort != keys.SNAPSHOT_HEAD:
            self._parts[partition, sort] = item
            return True
        segment = int(partition.rpartition("#")[2])
        try:
            self._heads[segment] = snapshot.parse_head(item, segment)
        except (ValueError, KeyError) as error:
            self.check.differ(f"item {partition} / {sort}", f"it cannot be read: {error!r}")
        return True

    def read(self) -> None:
        """Read the newest complete building, once all items are taken."""
        segments = self._heads[0].segments if 0 in self._heads else 0
        self._heads = {segment: head for segment, head in self._heads.items() if segment < segments}
        for head in self._heads.values():
            for sort in snapshot.sorts(head):
                for edge in self._part((keys.snapshot_partition(head.segment), sort), head):
                    self._edges.setdefault(edge.gateway, []).append(edge)

    def _part(self, place: tuple[str, str], head: Head) -> Sequence[Edge]:
        item = self._parts.get(place)
        try:
            if item is not None:
                return snapshot.parse(item, head)
            reason = "is missing"
        except SnapshotError as error:
            reason = str(error)
        # Another building may just have begun in its place.
        self._differ_for_now(f"item {' / '.join(place)}", reason)
        return ()

    def compare(self, gateway: str, batches: Iterable[StoredBatch]) -> None:
        """Compare the links of one gateway with all of its stored batches."""
        edges, state = self._edges.pop(gateway, []), self.states.get(gateway)
        for link, times in Counter(each.link for each in edges).items():
            if times > 1:
                self.check.differ(f"{gateway} {link}", f"is in it {times} times")
        brought, newest, newest_ms = _brought(edges, batches), None, -1
        for edge in edges:
            batch = self._edge(edge, brought.get((edge.kind, edge.link), []))
            if batch and edge.at_ms > newest_ms:
                newest, newest_ms = batch, edge.at_ms
        expected = _links(newest) if newest and not (state and state.left_out) else set[str]()
        if state and self._is_unchanged(state):
            expected |= {each.reading.link for each in state.series if each.reading.kind not in _OF_GATEWAY}
            self._as_latest(state, edges)
        elif not edges:
            self.check.open += 1
        for link in sorted(expected - {each.link for each in edges}):
            self._differ_for_now(f"{gateway} {link}", "is not in it")

    def finish(self, gateways: Iterable[str]) -> Check:
        """Name what is left of these gateways, of which nothing is stored; then all that was found."""
        for gateway in sorted(self._edges.keys() & set(gateways)):
            self.check.differ(gateway, "is in it, and nothing of it is stored")
        return self.check

    def _differ_for_now(self, name: str, detail: str) -> None:
        self.check.differ(name, detail)
        self.check.heals = True

    def _edge(self, edge: Edge, brought: Iterable[Brought]) -> StoredBatch | None:
        """Compare one link; the batch that brought its reading, if its figures are right."""
        self.check.compared += 1
        found = [each for each in brought if _is_of(edge, *each)]
        stored, name = (edge.sent, edge.lost, edge.p50_us), f"{edge.gateway} {edge.link}"
        for batch, series in found:
            if stored == _figures(series):
                if better := _better(batch, edge):
                    self.check.differ(name, f"{edge.kind} speaks for it, though there is {better}")
                return batch
        same = [_figures(series) for _, series in found if _newest(series).at_ms == edge.at_ms]
        if same:
            self.check.differ(name, f"sent, lost, p50: recomputed {same[0]}, stored {stored}")
        else:
            self.check.differ(name, f"its {edge.kind} reading of {edge.at_ms} is not one that is stored")
        return None

    def _is_unchanged(self, state: Latest) -> bool:
        """Whether a state was there when the pass began, which is later than all that it rolls up."""
        return bool(self._heads) and state.rx_ms <= min(each.at_ms for each in self._heads.values())

    def _as_latest(self, state: Latest, edges: Iterable[Edge]) -> None:
        """Compare the links with a latest state that they must have been taken from."""
        series = {(each.reading.link, each.reading.kind): each for each in state.series}
        for edge in edges:
            own, place = series.get((edge.link, edge.kind)), state.links.get(edge.link)
            said = (place.peer, place.medium) if place else ("", "")
            for name, ours, theirs in (
                ("time", own.reading.at_ms if own else None, edge.at_ms),
                ("sent", own.sent if own else None, edge.sent),
                ("lost", own.lost if own else None, edge.lost),
                ("peer and medium", said, (edge.peer, edge.medium)),
            ):
                if ours != theirs:
                    where = f"{edge.gateway} {edge.link}"
                    self._differ_for_now(where, f"{name}: latest state {ours}, graph {theirs}")


def _brought(edges: Iterable[Edge], batches: Iterable[StoredBatch]) -> dict[tuple[str, str], list[Brought]]:
    """By kind and link of some edges, each batch that measured it."""
    wanted = {(each.kind, each.link) for each in edges}
    found: dict[tuple[str, str], list[Brought]] = {}
    for batch in batches if wanted else ():
        for series, readings in series_of(batch).items():
            if series in wanted:
                found.setdefault(series, []).append((batch, readings))
    return found


def _is_of(edge: Edge, batch: StoredBatch, series: Sequence[StoredReading]) -> bool:
    """Whether a batch can have brought an edge; when its clock ran ahead, by its time of reception."""
    newest_ms = _newest(series).at_ms
    is_ahead = newest_ms > edge.at_ms and version_of(batch)[0] > edge.at_ms + AHEAD_MS
    return newest_ms == edge.at_ms or (is_ahead and _figures(series) == (edge.sent, edge.lost, edge.p50_us))


def _newest(series: Sequence[StoredReading]) -> StoredReading:
    return max(series, key=lambda each: each.at_ms)


def _figures(series: Sequence[StoredReading]) -> Figures:
    newest = _newest(series)
    median = _MEDIAN.get(newest.kind)
    return *counted(series), newest.column(median) if median else None


def _links(batch: StoredBatch) -> set[str]:
    return {each.link for each in batch.readings if each.kind not in _OF_GATEWAY}


def _better(batch: StoredBatch, edge: Edge) -> str:
    """A kind that is as new in the same batch and should have spoken for the link; empty for none."""
    rank = _BEST_FIRST.index(edge.kind) if edge.kind in _BEST_FIRST else len(_BEST_FIRST)
    found = {each.kind for each in batch.readings if each.link == edge.link and each.at_ms >= edge.at_ms}
    return next((kind for kind in _BEST_FIRST[:rank] if kind in found), "")
