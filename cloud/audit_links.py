"""The audit's look at the states of links: each beside those that its stored batches can have led to.

A batch changes states once, when it comes, unless a newer one of its gateway came before it or it tells of
a time long past. Of what came in which order nothing is stored, so the readings alone do not always say what
a state must be. What they say, whatever the order: the state comes from some of the batches up to the one
that the latest item names, in the order of their times, and that one is among them. All states that such a
choice gives are reckoned; the stored one must be among them, and have begun when its link was measured.

It is judged fully where there is one such state only, and where state and beginning are those of all batches
in their order from one of them on, which is how they nearly always come: what is before it was backlog. The
others are counted: one of several.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cloud.audit_check import Check
from cloud.audit_latest import Version, version_of
from cloud.audit_link_machine import NAMES, NEW, UNKNOWN, Link, Round, after, joined, round_of, walk
from cloud.audit_wire import StoredBatch
from cloud.latest import Latest

FORGOTTEN_MS = 86_400_000
"""A link that nobody measured for so long may have been taken out, and begun anew."""
STEP_MS = 10_000
"""Links of one round are measured within that; a larger step back is one of the clock."""
SHORTLY = 3
"""Batches: a state is known after a few rounds, of which there is one in a batch at least."""
Told = tuple[tuple[int, ...], tuple[Round, ...]]
"""When a batch measured a link (ms), and what it tells of it."""


@dataclass(slots=True)
class LinkStates:
    """States of links beside the batches of their gateways."""

    states: Mapping[str, Latest]
    check: Check = field(default_factory=lambda: Check("link states"))

    def compare(self, gateway: str, batches: Iterable[StoredBatch]) -> None:
        """Compare the links of one gateway with all of its stored batches."""
        state = self.states.get(gateway)
        if state is None:
            return
        ordered = sorted(batches, key=version_of)
        taken = _up_to(ordered, state)
        if taken is None:
            self.check.open += len(state.conditions)
            return
        told, newest = _told(taken), {each.link for each in taken[-1].readings}
        for link in sorted(told.keys() | state.conditions.keys()):
            if link in told or not state.left_out:
                self._link(state, link, told.get(link, []), link in newest)

    def _link(self, state: Latest, link: str, told: list[Told], certain: bool) -> None:
        known, name = state.conditions.get(link), f"{state.gateway} {link}"
        stored = (int(known.state), known.since_ms) if known else (UNKNOWN, 0)
        possible = {each.state for each in _possible(told, certain)}
        self.check.compared += 1
        self.check.undetermined += len(possible) > 1 and not _is_in_order(told, *stored)
        if stored[0] not in possible:
            names = " or ".join(NAMES[each] for each in sorted(possible))
            self.check.differ(name, f"state: recomputed {names}, stored {NAMES[stored[0]]}")
        if known and not any(stored[1] == _second(at_ms) for times, _ in told for at_ms in times):
            self.check.differ(name, f"its state began at {stored[1]}, when nothing was measured")


def _up_to(ordered: list[StoredBatch], state: Latest) -> list[StoredBatch] | None:
    """The batches up to the newest that the state is of; None when clocks hide which those are."""
    versions = [version_of(each) for each in ordered]
    newest: Version = (state.newest.first_ms, state.newest.epoch, state.newest.first_sequence)
    if newest not in versions:
        return None
    end = versions.index(newest) + 1
    others = any(each.epoch != newest[1] for each in ordered[end:])
    return None if others or _has_stepped_back(ordered) else ordered[:end]


def _has_stepped_back(batches: Iterable[StoredBatch]) -> bool:
    """Whether a clock was set back: before that it may have run so far ahead that its times were clamped."""
    highest: dict[int, int] = {}
    for batch in sorted(batches, key=lambda each: (each.epoch, each.first_sequence)):
        last_ms = version_of(batch)[0]
        highest_ms = highest.setdefault(batch.epoch, last_ms)
        if last_ms < highest_ms - STEP_MS:
            return True
        highest[batch.epoch] = max(last_ms, highest_ms)
    return False


def _told(batches: Iterable[StoredBatch]) -> dict[str, list[Told]]:
    """What each batch tells of each link."""
    told: dict[str, list[Told]] = {}
    for batch in batches:
        rounds: dict[str, list[tuple[int, Round]]] = {}
        for each in batch.readings:
            if found := round_of(each):
                rounds.setdefault(each.link, []).append((each.at_ms, found))
        for link, own in rounds.items():
            told.setdefault(link, []).append((tuple(at for at, _ in own), tuple(each for _, each in own)))
    return told


def _possible(told: list[Told], certain: bool) -> frozenset[Link]:
    """All ways a link may be after any of the batches; ``certain`` says that the last one is among them."""
    possible, before_ms = NEW, None
    for index, (times, rounds) in enumerate(told):
        if before_ms is not None and times[0] - before_ms >= FORGOTTEN_MS:
            possible |= NEW
        ends = frozenset[Link]().union(*(after(each, rounds) for each in possible))
        skipped = frozenset[Link]() if certain and index == len(told) - 1 else possible
        possible, before_ms = joined(ends | skipped), times[0]
    return possible


def _is_in_order(told: list[Told], state: int, since_ms: int) -> bool:
    """Whether a state is that of all batches, or of all from one shortly before its beginning on."""
    at = next((index for index, (times, _) in enumerate(told) if _second(times[-1]) >= since_ms), 0)
    begins = {0, *range(max(at - SHORTLY, 0), at + 1)}
    return any(_in_order(told[begin:]) == (state, since_ms) for begin in sorted(begins))


def _in_order(told: list[Told]) -> tuple[int, int]:
    """The state after all batches in their order, and when it began, in whole seconds, ms."""
    (link,), since_ms = NEW, 0
    for times, rounds in told:
        link, turns = walk(link, rounds)
        if turns:
            since_ms = _second(times[turns[-1]])
    return link.state, since_ms


def _second(at_ms: int) -> int:
    return at_ms // 1000 * 1000
