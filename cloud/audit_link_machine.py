"""The audit's own reckoning of a link's state: every state that some batches of it can have led to.

Written again from the description of the hysteresis (cloud/link_state.py), not from its code. A loss is kept
as a range, so that many ways to one state are one: the running mean only grows with what it was before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from cloud.audit_latest import SENT
from cloud.audit_wire import StoredReading

UNKNOWN, UP, DEGRADED, DOWN = range(4)
NAMES = ("unknown", "up", "degraded", "down")
FAR_END = ("echo", "stamp", "connect")
"""Probes of the far end; the first of them that knows it speaks for the loss."""
_REACHED = {
    "echo": ("received", "late", "duplicate", "corrupt"),
    "stamp": ("received", "late", "duplicate", "corrupt"),
    "connect": ("connected", "refused"),
}
_DOWN_ROUNDS, _DOWN_PACKETS, _DOWN_ROUNDS_LEAST = 3, 30, 2
_UP_ROUNDS, _SILENT_ROUNDS = 2, 3
_WHOLE, _WINDOW, _EVIDENCE, _LEAST_PACKETS = 50_000, 150, 30, 5
_DEGRADED_FROM, _RECOVERED_BELOW = _WHOLE * 2 // 100, _WHOLE // 100
_NO_INTERFACE = 5
_EXACT = 4
"""So many ways are told apart; of more, those that differ in their loss alone become one."""


class Round(NamedTuple):
    """What one reading says of its link."""

    kind: str
    what: str
    """answered, unanswered, nothing; of an interface and of the agent's own verdict up or down."""
    packets: int = 0
    lost: int = 0


class Probe(NamedTuple):
    """What the last rounds of one kind say."""

    kind: str
    up: bool | None = None
    good: int = 0
    bad: int = 0
    silent: int = 0
    lost: int = 0
    weight: int = 0
    low: int = 0
    """The running mean of loss, parts of 50,000, is at least this ..."""
    high: int = 0
    """... and at most that."""


class Link(NamedTuple):
    """One of the ways a link may be."""

    state: int = UNKNOWN
    fell: bool = False
    """Down because its interface went down."""
    probes: tuple[Probe, ...] = ()


_LOSS = Probe._fields.index("low")
NEW = frozenset((Link(),))


def round_of(reading: StoredReading) -> Round | None:
    """What a reading says of its link; None when nothing."""
    kind, measured = reading.kind, reading.content[1] == 0
    if kind == "state":
        told = reading.column("up") if measured else None
        return None if told is None else Round(kind, "up" if told else "down")
    if kind == "interface":
        if measured:
            return Round(kind, "up" if reading.column("up") else "down")
        return Round(kind, "down" if reading.content[1] == _NO_INTERFACE else "nothing")
    if kind not in FAR_END:
        return None
    if not measured:
        return Round(kind, "nothing")
    packets, back = _trips(reading)
    if any(reading.column(name) for name in _REACHED[kind]):
        return Round(kind, "answered", packets, packets - back)
    return Round(kind, "unanswered", packets) if packets else Round(kind, "nothing")


def _trips(reading: StoredReading) -> tuple[int, int]:
    """Round trips that are decided, and how many came back."""
    sent, waiting, replies = SENT[reading.kind]
    in_flight = (reading.column(waiting) or 0) if waiting else 0
    return max((reading.column(sent) or 0) - in_flight, 0), sum(reading.column(name) or 0 for name in replies)


@lru_cache(maxsize=1 << 16)
def after(link: Link, rounds: tuple[Round, ...]) -> frozenset[Link]:
    """The ways a link may be after some rounds, in their order."""
    found: Iterable[Link] = (link,)
    for each in rounds:
        found = {end for way in found for end in _step(way, each)}
    return frozenset(found)


@lru_cache(maxsize=1 << 16)
def walk(link: Link, rounds: tuple[Round, ...]) -> tuple[Link, tuple[int, ...]]:
    """The one way a link of known losses is after some rounds, and which of them changed its state."""
    turns = []
    for index, each in enumerate(rounds):
        (end,) = _step(link, each)
        if end.state != link.state:
            turns.append(index)
        link = end
    return link, tuple(turns)


def joined(links: frozenset[Link]) -> frozenset[Link]:
    """The same ways or some more: of many that differ in their loss alone, one with all of their losses."""
    if len(links) <= _EXACT:
        return links
    alike: dict[tuple[object, ...], list[Link]] = {}
    for link in links:
        shape = link.state, link.fell, *[each[:_LOSS] for each in link.probes]
        alike.setdefault(shape, []).append(link)
    return frozenset(same[0] if len(same) == 1 else _one_of(same) for same in alike.values())


def _one_of(same: list[Link]) -> Link:
    """One way with all losses of some that differ in nothing else."""
    probes = zip(*(link.probes for link in same), strict=True)
    ranges = [
        each[0]._replace(low=min(one.low for one in each), high=max(one.high for one in each))
        for each in probes
    ]
    return same[0]._replace(probes=tuple(ranges))


def _step(link: Link, seen: Round) -> Iterator[Link]:
    probes = {each.kind: each for each in link.probes}
    up = None if link.state == UNKNOWN else link.state != DOWN
    if seen.kind == "state":
        up, fell = _told(probes, seen.what == "up", link.fell)
    elif seen.kind == "interface":
        up, fell = _interface(probes, seen, up, link.fell)
    else:
        probes[seen.kind] = _far_end(probes.get(seen.kind, Probe(seen.kind)), seen)
        known = [probes[kind].up for kind in FAR_END if kind in probes and probes[kind].up is not None]
        up, fell = (any(known), False) if known else (up, link.fell)
    for state, speaker in _judged(link.state, up, probes):
        given = probes if speaker is None else probes | {speaker.kind: speaker}
        if state == DOWN != link.state:
            given = {kind: _forgotten(each) for kind, each in given.items()}
        yield Link(state, fell, tuple(given[kind] for kind in sorted(given)))


def _told(probes: dict[str, Probe], up: bool, fell: bool) -> tuple[bool, bool]:
    """The agent's own verdict counts at once; what its probes found before must not gainsay it."""
    for kind in FAR_END:
        if kind in probes and probes[kind].up is not up:
            probes[kind] = probes[kind]._replace(up=None if up else False, good=0, bad=0, lost=0)
    return up, fell and not up


def _interface(
    probes: dict[str, Probe], seen: Round, up: bool | None, fell: bool
) -> tuple[bool | None, bool]:
    """An interface that goes down takes its link with it; one that is up speaks while nothing else does."""
    before = probes.get("interface", Probe("interface"))
    now = probes["interface"] = {"up": _answered, "down": _cut, "nothing": _nothing}[seen.what](before)
    far_end = [kind for kind in FAR_END if kind in probes]
    if seen.what == "up" and before.good == 0:
        probes.update({kind: probes[kind]._replace(silent=0) for kind in far_end})
    if now.up is False and before.up is not False:
        probes.update({kind: Probe(kind) for kind in far_end})
        return False, True
    speaks = all(probes[kind].silent >= _SILENT_ROUNDS for kind in far_end)
    if now.up and speaks and (up is None or fell):
        return True, False
    return up, fell


def _far_end(probe: Probe, seen: Round) -> Probe:
    if seen.what == "nothing":
        return _nothing(probe)
    if seen.what == "unanswered":
        return _unanswered(probe, seen.packets)
    if probe.up and probe.lost:
        probe = _counted(probe, probe.lost, probe.lost)  # an outage that was none: it was loss
    probe = _answered(probe)
    return _counted(probe, seen.packets, seen.lost) if seen.packets else probe


def _answered(probe: Probe) -> Probe:
    good = min(probe.good + 1, _UP_ROUNDS)
    return probe._replace(up=good == _UP_ROUNDS or probe.up, good=good, bad=0, silent=0, lost=0)


def _unanswered(probe: Probe, packets: int) -> Probe:
    bad, lost = min(probe.bad + 1, _DOWN_ROUNDS), min(probe.lost + packets, _DOWN_PACKETS)
    down = bad == _DOWN_ROUNDS or (bad >= _DOWN_ROUNDS_LEAST and lost == _DOWN_PACKETS)
    return probe._replace(up=False if down else probe.up, good=0, bad=bad, silent=0, lost=lost)


def _cut(probe: Probe) -> Probe:
    return _unanswered(probe, 0)._replace(up=False)


def _nothing(probe: Probe) -> Probe:
    silent = min(probe.silent + 1, _SILENT_ROUNDS)
    return Probe(probe.kind, silent=silent) if silent == _SILENT_ROUNDS else probe._replace(silent=silent)


def _forgotten(probe: Probe) -> Probe:
    return probe._replace(weight=0, low=0, high=0)


def _counted(probe: Probe, packets: int, lost: int) -> Probe:
    if not _LEAST_PACKETS <= packets <= _WINDOW:
        size = _LEAST_PACKETS if packets < _LEAST_PACKETS else _WINDOW
        packets, lost = size, lost * size // packets
    weight = min(probe.weight + packets, _WINDOW)
    low, high = (
        max(0, min(_WHOLE, loss + (lost * _WHOLE - loss * packets) // weight))
        for loss in (probe.low, probe.high)
    )
    return probe._replace(weight=weight, low=low, high=high)


def _judged(state: int, up: bool | None, probes: dict[str, Probe]) -> Iterator[tuple[int, Probe | None]]:
    """The states that may be, each with the speaker as narrow as it then is."""
    if not up:
        yield state if up is None else DOWN, None
        return
    speaker = next((probes[kind] for kind in FAR_END if kind in probes and probes[kind].up), None)
    if speaker is None or speaker.weight < _EVIDENCE:
        yield DEGRADED if state == DEGRADED else UP, None
        return
    limit = _RECOVERED_BELOW if state == DEGRADED else _DEGRADED_FROM
    if speaker.high >= limit:
        yield DEGRADED, speaker._replace(low=max(speaker.low, limit))
    if speaker.low < limit:
        yield UP, speaker._replace(high=min(speaker.high, limit - 1))
