"""Brings a gateway's latest state up to date with its live batches and what the registry knows (pure).

A batch counts once. It must be newer than the state (its version), and of the same spool it must begin
after what the state has taken in: so neither a replay, nor a second delivery that was received at another
time, nor a batch that was overtaken changes anything. Readings are taken in the order of their numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field

from cloud import chunk, keys, link_state
from cloud.decode import Arrival
from cloud.health import ANSWERS, WAITING
from cloud.latest import FELL, pack_content
from cloud.latest_bytes import MAX_BYTES, Image, LinkPart, SeriesPart, since_s
from cloud.link_change import Change
from cloud.link_state import FAR_END, SPEAKING, Machine, State
from cloud.registry import Entry
from cloud.validate import is_future, is_live
from edge_agent.contract import KINDS, Batch, Outcome, Reading, Values

NAME_LENGTH = 128
_CODES = {kind.name: kind.code for kind in KINDS.values()}


@dataclass(frozen=True, slots=True)
class _Counts:
    """The columns of cloud.health.tally as indices: a look by name for each reading would cost too much."""

    sent: int
    in_flight: int | None
    replies: tuple[int, ...]

    def of(self, values: Values) -> tuple[int, int]:
        """Round trips whose outcome is known, and how many of them were answered."""
        in_flight = 0 if self.in_flight is None else values[self.in_flight] or 0
        answered = 0
        for index in self.replies:
            answered += values[index] or 0
        return max((values[self.sent] or 0) - in_flight, 0), answered


def _counts(kind: str) -> _Counts:
    at = {column.name: index for index, column in enumerate(KINDS[kind].columns)}
    waiting = at["in_flight"] if kind in WAITING else None
    return _Counts(at["sent"], waiting, tuple(at[name] for name in ANSWERS[kind]))


_COUNTS = {kind: _counts(kind) for kind in ANSWERS}
_WITNESSES = tuple((kind, _CODES[kind]) for kind in (*FAR_END, "interface"))


@dataclass(slots=True)
class Progress:
    """A gateway's state while its batches are taken in."""

    image: Image = field(default_factory=Image)
    version: str = ""
    """Of the newest batch taken in; empty before the first."""
    changes: list[Change] = field(default_factory=list)
    """What the batches taken in changed."""
    taken: int = 0
    """Batches taken in; when none was, there is nothing to write."""


def live(arrivals: Iterable[Arrival]) -> dict[str, list[Arrival]]:
    """Arrivals that tell of the present, by gateway; backlog never replaces the latest state."""
    found: dict[str, list[Arrival]] = {}
    for arrival in filter(is_live, arrivals):
        found.setdefault(arrival.batch.gateway, []).append(arrival)
    return found


def advance(progress: Progress, arrivals: Sequence[Arrival], entry: Entry, keep_ms: int) -> None:
    """Take in what is new of the live batches of one gateway, oldest first; series expire after keep_ms."""
    for arrival in sorted(arrivals, key=chunk.version):
        if _is_new(progress, arrival):
            _take_in(progress, arrival)
    if progress.taken:
        _expire(progress, keep_ms)
        _name(progress.image, entry)


def _is_new(progress: Progress, arrival: Arrival) -> bool:
    if not progress.version:
        return True
    if chunk.version(arrival) <= progress.version:
        return False
    newest = keys.parse_version(progress.version)
    following = newest.first_sequence + progress.image.numbered
    return arrival.batch.epoch != newest.epoch or arrival.batch.first_sequence >= following


def _take_in(progress: Progress, arrival: Arrival) -> None:
    image, batch = progress.image, arrival.batch
    groups: dict[tuple[str, str], list[Reading]] = {}
    for reading in batch.readings:
        groups.setdefault((reading.link, reading.kind), []).append(reading)
    latest_ms = arrival.envelope.rx_ms if is_future(arrival) else keys.MAX_MS
    quiet: list[tuple[str, str, SeriesPart]] = []
    loud: set[str] = set()
    fresh: set[tuple[str, str]] = set()
    for (link, kind), readings in groups.items():
        if (link, _CODES[kind]) not in image.series:
            fresh.add((link, kind))
        part = _keep(image, link, _CODES[kind], readings, latest_ms)
        if kind not in SPEAKING:
            continue
        known = image.links[link].state == State.UP
        if known and link_state.is_quiet(kind, part.witness, part.loss, readings):
            quiet.append((link, kind, part))
        else:
            loud.add(link)
    for link, kind, part in quiet:
        if link not in loud:
            part.loss, part.weight = link_state.settle(kind, part.loss, part.weight, groups[link, kind])
    if loud:
        _judge(progress, batch, loud, fresh, latest_ms)
    image.rx_ms, image.direct = arrival.envelope.rx_ms, arrival.envelope.direct
    image.numbered = len(batch.readings)
    progress.version = chunk.version(arrival)
    progress.taken += 1


def _keep(image: Image, link: str, code: int, readings: Sequence[Reading], latest_ms: int) -> SeriesPart:
    """Keep the newest reading of a series, and the round trips of all of them."""
    newest, sent, answered = readings[0], 0, 0
    counts = _COUNTS.get(newest.kind)
    for reading in readings:
        if reading.at_ms >= newest.at_ms:
            newest = reading
        if counts and reading.outcome is Outcome.MEASURED and reading.values[counts.replies[0]] is not None:
            tried, back = counts.of(reading.values)
            sent += tried
            answered += back
    content = pack_content(newest, sent, max(sent - answered, 0))
    at_ms = min(newest.at_ms, latest_ms)
    part = image.series.get((link, code))
    if part is None:
        # The front part is as it was while the same links have the same series.
        part = image.series[link, code] = SeriesPart(at_ms, content)
        image.links.setdefault(link, LinkPart())
        image.front = None
    elif part.at_ms <= at_ms:
        part.at_ms, part.content = at_ms, content
    return part


def _judge(
    progress: Progress, batch: Batch, links: Set[str], fresh: Set[tuple[str, str]], latest_ms: int
) -> None:
    """Let the rounds of links change their states, in the order of their numbers."""
    image = progress.image
    machines = {link: _machine(image, link, fresh) for link in links}
    for sequence, reading in enumerate(batch.readings, batch.first_sequence):
        machine = machines.get(reading.link)
        if machine is None or reading.kind not in SPEAKING:
            continue
        before, after = machine.state, machine.take_in(reading)
        if after is None:
            continue
        at_ms = min(reading.at_ms, latest_ms)
        image.links[reading.link].since_s = since_s(at_ms)
        if before is not State.UNKNOWN or after is not State.UP:
            found = Change(batch.gateway, reading.link, before, after, at_ms, batch.epoch, sequence)
            progress.changes.append(found)
    for link, machine in machines.items():
        image.links[link].state = machine.state | (FELL if machine.interface_fell else 0)
        for kind, witness in machine.witnesses.items():
            kept = image.series.get((link, _CODES[kind]))
            if kept is not None:
                kept.witness = link_state.encode(witness)
                kept.loss, kept.weight = witness.loss, witness.weight


def _machine(image: Image, link: str, fresh: Set[tuple[str, str]]) -> Machine:
    """The machine of a link as it was before the batch; a probe that is new in it is no witness yet."""
    part, witnesses = image.links[link], {}
    for kind, code in _WITNESSES:
        kept = image.series.get((link, code))
        if kept is not None and (link, kind) not in fresh:
            witnesses[kind] = link_state.decode(kept.witness, kept.loss, kept.weight)
    return Machine(State(part.state & ~FELL), bool(part.state & FELL), witnesses)


def _expire(progress: Progress, keep_ms: int) -> None:
    """Drop the series that nobody has measured for so long: their link was taken out of the config."""
    image, base_ms = progress.image, keys.parse_version(progress.version).first_ms
    old = [key for key, part in image.series.items() if part.at_ms < base_ms - keep_ms]
    image.left_out = 0
    size = sum(len(part.content) + 12 for part in image.series.values()) + 64 * len(image.links)
    if size > MAX_BYTES:
        excess = size - MAX_BYTES
        for key, part in sorted(image.series.items(), key=lambda each: each[1].at_ms):
            if excess <= 0:
                break
            if key not in old:
                old.append(key)
                image.left_out += 1
            excess -= len(part.content) + 12 + 64
    if old:
        for key in old:
            del image.series[key]
        named = {link for link, _ in image.series}
        image.links = {link: part for link, part in image.links.items() if link in named}
        image.front = None


def _name(image: Image, entry: Entry) -> None:
    """Say of links and gateway what the registry knows now; without an answer what it knew stays."""
    if not entry.known:
        return
    place = entry.place
    if place != image.place:
        image.place, image.front = place, None
    for link, part in image.links.items():
        said = entry.said(link)
        if said is not None and said != (part.peer, part.medium, part.capacity_kbps):
            part.peer, part.medium, part.capacity_kbps = said
            image.front = None


def forgotten(image: Image, version: str, entry: Entry, keep_ms: int) -> set[str]:
    """Links whose definitions the registry may drop: without a series, and as old as one that expires."""
    gone = entry.definitions.keys() - image.links.keys()
    oldest = keys.parse_version(version).first_ms - keep_ms
    return {link for link in gone if keys.parse_version(entry.definitions[link].version).first_ms < oldest}
