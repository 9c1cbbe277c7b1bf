"""Whether a link is up, degraded or down, with hysteresis: a state machine over its readings (pure).

Up and down are told as the agent tells them (edge_agent/link_state.py, held to it by a test): a link is up
as long as a probe of its far end is answered, and down when none is, or at once when its interface goes
down. The agent's own verdict, a reading of kind ``state``, is taken at once. An up link is degraded when
the loss of the probe that speaks for it reaches DEGRADED, until it falls below RECOVERED. The loss
is a running mean over about WINDOW round trips: 5 minutes of the default profile, as a period of
`linkview availability`. A link that comes back up starts a new mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from cloud import link_witness
from cloud.link_witness import (
    DEGRADED,
    EVIDENCE,
    FAR_END,
    RECOVERED,
    SILENT_ROUNDS,
    WINDOW,
    Witness,
    mean,
)
from edge_agent.contract import Outcome, Reading


class State(IntEnum):
    """What is known of a link."""

    UNKNOWN = 0
    UP = 1
    DEGRADED = 2
    DOWN = 3


FELL = 4
"""The bit beside a state that says that the link is down because its interface went down."""
SPEAKING = frozenset({*FAR_END, "interface", "state"})
"""Kinds of reading that say anything about their link being up."""


def follow(
    state: State, loss: int, weight: int, sent: Sequence[int], lost: Sequence[int]
) -> tuple[int, int, list[tuple[int, State]]] | None:
    """What answered rounds make of a link that is up or degraded and has one probe; None when one was not.

    ``sent`` and ``lost`` are the round trips of each round. Returns the mean of loss, its weight, and the
    changes of state with the index of the round that made them.
    """
    changes = []
    limit = RECOVERED if state is State.DEGRADED else DEGRADED
    for index, packets in enumerate(sent):
        gone = lost[index]
        if gone >= packets or not packets:
            return None
        if loss or gone or weight < WINDOW:
            loss, weight = mean(loss, weight, packets, gone)
        if (loss >= limit) is not (state is State.DEGRADED) and weight >= EVIDENCE:
            state = judge_loss(state, loss, weight)
            limit = RECOVERED if state is State.DEGRADED else DEGRADED
            changes.append((index, state))
    return loss, weight, changes


def judge_loss(state: State, loss: int, weight: int) -> State:
    """The state of a link whose far end answers, from its mean of loss."""
    degraded = state is State.DEGRADED
    if weight >= EVIDENCE:
        degraded = loss >= (RECOVERED if degraded else DEGRADED)
    return State.DEGRADED if degraded else State.UP


@dataclass(slots=True)
class Machine:
    """Puts together what the probes of one link say."""

    state: State = State.UNKNOWN
    interface_fell: bool = False
    """Whether it is down because its interface went down."""
    witnesses: dict[str, Witness] = field(default_factory=dict)

    def take_in(self, reading: Reading) -> State | None:
        """Let a reading change what is known, in the order of sequence numbers; the new state if it did."""
        if reading.kind in FAR_END:
            up = self._take_in_far_end(reading)
        elif reading.kind == "interface":
            up = self._take_in_interface(reading)
        elif reading.kind == "state":
            up = self._take_in_verdict(reading)
        else:
            return None
        state = self._judge(up)
        if state is self.state:
            return None
        if state is State.DOWN:
            for witness in self.witnesses.values():
                witness.forget_loss()
        self.state = state
        return state

    @property
    def _up(self) -> bool | None:
        return None if self.state is State.UNKNOWN else self.state is not State.DOWN

    def _judge(self, up: bool | None) -> State:
        if up is None:
            return self.state
        if not up:
            return State.DOWN
        speaker = next((self._known(kind) for kind in FAR_END if self._known(kind)), None)
        return (
            judge_loss(self.state, speaker.loss, speaker.weight) if speaker else judge_loss(self.state, 0, 0)
        )

    def _known(self, kind: str) -> Witness | None:
        witness = self.witnesses.get(kind)
        return witness if witness and witness.up else None

    def _take_in_far_end(self, reading: Reading) -> bool | None:
        witness = self.witnesses.setdefault(reading.kind, Witness())
        link_witness.count(witness, reading)
        known = [each.up for kind, each in self.witnesses.items() if kind in FAR_END and each.up is not None]
        if known:
            self.interface_fell = False
            return any(known)
        return self._up

    def _take_in_interface(self, reading: Reading) -> bool | None:
        witness = self.witnesses.setdefault("interface", Witness())
        before, good = witness.up, witness.good
        if reading.outcome is Outcome.MEASURED and reading["up"]:
            witness.answered()
            if good == 0:  # what was silent meanwhile may speak now
                for each in self._far_end():
                    each.silent = 0
        elif reading.outcome in (Outcome.MEASURED, Outcome.NO_INTERFACE):
            witness.unanswered(0, at_once=True)
        else:
            witness.measured_nothing()
        if witness.up is False and before is not False:
            for kind in FAR_END.keys() & self.witnesses.keys():
                self.witnesses[kind] = Witness()
            self.interface_fell = True
            return False
        if witness.up and self._interface_decides():
            self.interface_fell = False
            return True
        return self._up

    def _interface_decides(self) -> bool:
        if self._up is not None and not self.interface_fell:
            return False
        return all(each.silent >= SILENT_ROUNDS for each in self._far_end())

    def _take_in_verdict(self, reading: Reading) -> bool | None:
        """What the agent says of the link; its probes, as seen here, must not gainsay it at once."""
        if reading.outcome is not Outcome.MEASURED or reading["up"] is None:
            return self._up
        up = bool(reading["up"])
        for each in self._far_end():
            if each.up is not up:
                each.up = None if up else False
                each.good, each.bad, each.lost = 0, 0, 0
        if up:
            self.interface_fell = False
        return up

    def _far_end(self) -> list[Witness]:
        return [each for kind, each in self.witnesses.items() if kind in FAR_END]
