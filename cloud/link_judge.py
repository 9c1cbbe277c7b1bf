"""What the rounds of a batch make of the states of its links (pure).

Each round goes through a link's machine (cloud/link_state.py), in the order of their numbers. Nearly all of
them change nothing but a mean of loss, and those are told by their columns: a link that is up, whose probe
was answered before, needs no look at each round (held to the machine by tests).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import NamedTuple

from cloud.latest_image import Image
from cloud.link_change import Change
from cloud.link_state import FELL, SPEAKING, Machine, State, follow
from cloud.link_witness import DEGRADED, FAR_END, STEADY, WINDOW, decode, encode, settle
from cloud.tallies import Tallies
from edge_agent.contract import KINDS, Reading, Sealed
from edge_agent.contract.sealed import Bundle

Kept = tuple[int, int, int]
"""A witness as an Image has it: its code, the mean of loss, and the mean's weight."""
_FAR_END = tuple(KINDS[kind].code for kind in FAR_END)
_STATE_UP, _FAR_END_ANSWERS = int(State.UP), (int(State.UP), int(State.DEGRADED))
_STATES = tuple(State)
_WITNESSES = tuple((kind, KINDS[kind].code) for kind in (*FAR_END, "interface"))
_UP = KINDS["interface"].columns.index(next(each for each in KINDS["interface"].columns if each.name == "up"))


class Rounds(NamedTuple):
    """The readings of one kind in a batch."""

    bundle: Bundle
    silent: frozenset[int]
    """Rows that measured nothing."""
    tallies: Tallies | None


@dataclass(slots=True)
class Verdict:
    """What a batch changes of states and witnesses."""

    states: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    """By link its state as an Image has it, and when it began (ms) if it has changed."""
    means: dict[int, tuple[list[int], list[int]]] = field(default_factory=dict)
    """By code of the kind the means of loss of its group and their weights; `witnesses` go before them."""
    witnesses: dict[int, dict[str, Kept]] = field(default_factory=dict)
    """By code of the kind and link."""
    changes: list[Change] = field(default_factory=list)
    """By number of their reading."""


@dataclass(slots=True)
class Judge:
    """Judges the links of one batch."""

    image: Image
    sealed: Sealed
    latest_ms: int
    """No state may begin later: the gateway's clock may run ahead."""
    rounds: Mapping[int, Rounds]
    """By code of the kind."""
    verdict: Verdict = field(default_factory=Verdict)
    _loud: set[str] = field(default_factory=set)
    """Links whose rounds must be looked at each."""
    _turned: list[tuple[str, int, State, State]] = field(default_factory=list)
    """Link, position of the reading, state before and after, where the mean of loss changed the state."""

    def judge(self) -> Verdict:
        """The verdict; the image is left as it is."""
        for code, rounds in self.rounds.items():
            if rounds.bundle.kind.name in SPEAKING:
                self._sort(code, rounds)
        for link, position, before, after in self._turned:
            if link not in self._loud:
                self._change(link, before, after, position)
                self.verdict.states[link] = after, self._at_ms(position)
        if self._loud:
            self._hear()
        if len(self.verdict.changes) > 1:
            self.verdict.changes.sort(key=lambda each: each.sequence)
        return self.verdict

    # --- links of which nothing but the loss may change -------------------------------------------

    def _sort(self, code: int, rounds: Rounds) -> None:
        """Tell the calm series of a kind from those that are not."""
        bundle, tallies, front = rounds.bundle, rounds.tallies, self.image.front
        group, places = self.image.groups.get(code), front.places.get(code, {})
        if group is None or bundle.kind.name == "state":
            self._loud.update(bundle.links)
            return
        odd = self._odd(code, rounds) if tallies is None else tallies.odd
        troubled = {bundle.whose[row] for row in odd}
        losses, weights = self.verdict.means[code] = [*group.losses], [*group.weights]
        for index, link in enumerate(bundle.links):
            place = places.get(link)
            if place is None or group.witnesses[place] != STEADY:
                self._loud.add(link)
                continue
            state, loss, weight = self.image.states[front.at[link]], losses[place], weights[place]
            if index in troubled or state != _STATE_UP or loss >= DEGRADED:
                found = self._follow(rounds, index, state, loss, weight, index not in troubled)
                if found is None:
                    self._loud.add(link)
                else:
                    losses[place], weights[place] = found
            elif (loss or weight < WINDOW) and tallies is not None:
                losses[place], weights[place] = settle(loss, weight, tallies.tried(bundle.rows[index]))

    def _odd(self, code: int, rounds: Rounds) -> Set[int]:
        """Rows in which an interface was not up."""
        up = self.sealed.tables[code].column(_UP)
        return rounds.silent | {row for row, number in enumerate(up) if number < 2}

    def _is_shared(self, link: str) -> bool:
        """Whether several kinds of probe know the far end of a link: then the loss of one does not decide."""
        places = self.image.front.places
        return len(places) > 1 and sum([link in places.get(code, ()) for code in _FAR_END]) > 1

    def _follow(
        self, rounds: Rounds, index: int, state: int, loss: int, weight: int, good: bool
    ) -> tuple[int, int] | None:
        """The mean of loss and its weight after rounds that may degrade or recover the link, no more.

        None when that is not all they do: its far end must answer each of them, and no other probe know it.
        """
        bundle, tallies = rounds.bundle, rounds.tallies
        link, rows = bundle.links[index], bundle.rows[index]
        if state not in _FAR_END_ANSWERS:
            return None
        if tallies is None:
            return (loss, weight) if good else None
        if self._is_shared(link):
            return None
        before = _STATES[state]
        found = follow(before, loss, weight, tallies.tried(rows), [tallies.lost[row] for row in rows])
        if found is None:
            return None
        for turn, after in found[2]:
            self._turned.append((link, bundle.positions[index][turn], before, after))
            before = after
        return found[:2]

    # --- the others -------------------------------------------------------------------------------

    def _hear(self) -> None:
        """Let each round of the other links be seen by their machines, in the order of their numbers."""
        machines = {link: self._machine(link) for link in self._loud}
        began: dict[str, int] = {}
        for position, reading in self._readings():
            machine = machines[reading.link]
            before, after = machine.state, machine.take_in(reading)
            if after is not None:
                began[reading.link] = self._at_ms(position)
                self._change(reading.link, before, after, position)
        for link, machine in machines.items():
            state = machine.state | (FELL if machine.interface_fell else 0)
            self.verdict.states[link] = state, began.get(link)
            for kind, witness in machine.witnesses.items():
                kept = encode(witness), witness.loss, witness.weight
                self.verdict.witnesses.setdefault(KINDS[kind].code, {})[link] = kept

    def _readings(self) -> Iterable[tuple[int, Reading]]:
        found = [
            (position, self.sealed.reading(each, position))
            for each in self.sealed.series
            if each.link in self._loud and each.kind.name in SPEAKING
            for position in each.positions
        ]
        return sorted(found, key=lambda pair: pair[0])

    def _machine(self, link: str) -> Machine:
        """The machine of a link as it was before the batch; a probe that is new in it is no witness yet."""
        witnesses = {}
        for kind, code in _WITNESSES:
            group = self.image.groups.get(code)
            place = self.image.front.places.get(code, {}).get(link)
            if group is not None and place is not None:
                witnesses[kind] = decode(group.witnesses[place], group.losses[place], group.weights[place])
        known = self.image.front.at.get(link)
        state = 0 if known is None else self.image.states[known]
        return Machine(State(state & ~FELL), bool(state & FELL), witnesses)

    def _change(self, link: str, before: State, after: State, position: int) -> None:
        """Note a change; to become known as up is none."""
        if before is State.UNKNOWN and after is State.UP:
            return
        sealed = self.sealed
        self.verdict.changes.append(
            Change(
                sealed.gateway,
                link,
                before,
                after,
                self._at_ms(position),
                sealed.epoch,
                sealed.first_sequence + position,
            )
        )

    def _at_ms(self, position: int) -> int:
        return min(self.sealed.times[position], self.latest_ms)
