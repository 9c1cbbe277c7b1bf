"""Whether a link is up, degraded or down, with hysteresis: a state machine over its readings (pure).

Up and down are told as the agent tells them (edge_agent/link_state.py, held to it by a test): a link is up
as long as a probe of its far end is answered, and down when none is, or at once when its interface goes
down. The agent's own verdict, a reading of kind ``state``, is taken at once. An up link is degraded when
the loss of the probe that speaks for it reaches DEGRADED, until it falls below RECOVERED. The loss
is a running mean over about WINDOW round trips: 5 minutes of the default profile, as a period of
`linkview availability`. A link that comes back up starts a new mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from edge_agent.contract import KINDS, Outcome, Reading

DOWN_ROUNDS = 3
"""Rounds in a row without an answer, of one probe, that make a link down ..."""
DOWN_PACKETS = 30
"""... or so many packets in at least DOWN_ROUNDS_LEAST rounds."""
DOWN_ROUNDS_LEAST = 2
UP_ROUNDS = 2
SILENT_ROUNDS = 3
"""Rounds in a row that measured nothing, after which what a probe found before says nothing any more."""

WHOLE = 50_000
"""Losses are kept as parts of so many: 0.002 %, and two bytes."""
DEGRADED = WHOLE * 2 // 100
"""Loss from which a link is degraded: 2 %, as in `linkview availability`."""
RECOVERED = DEGRADED // 2
"""Loss below which it is up again: half as much, so that noise around one threshold changes nothing."""
WINDOW = 150
"""Round trips that the loss is a running mean of."""
EVIDENCE = 30
"""Round trips without which the loss says nothing."""
LEAST_PACKETS = 5
"""A round counts as so many round trips at least: a probe of one packet must not need hours."""


class State(IntEnum):
    """What is known of a link."""

    UNKNOWN = 0
    UP = 1
    DEGRADED = 2
    DOWN = 3


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where a kind of probe says what was sent and what came back, as indices of its values."""

    answers: tuple[int, ...]
    """Columns that show the far end was reached: to refuse is to answer."""
    replies: tuple[int, ...]
    """Columns that count round trips that were not lost."""
    sent: int
    in_flight: int | None


def _columns(kind: str, answers: tuple[str, ...], replies: tuple[str, ...]) -> _Columns:
    at = {column.name: index for index, column in enumerate(KINDS[kind].columns)}
    return _Columns(
        tuple(at[name] for name in answers),
        tuple(at[name] for name in replies),
        at["sent"],
        at.get("in_flight"),
    )


_ROUND_TRIP = ("received", "late", "duplicate", "corrupt"), ("received", "late")
_CONNECT = ("connected", "refused"), ("connected", "refused")
FAR_END: Mapping[str, _Columns] = {
    "echo": _columns("echo", *_ROUND_TRIP),
    "stamp": _columns("stamp", *_ROUND_TRIP),
    "connect": _columns("connect", *_CONNECT),
}
"""Probes of the far end; the first that knows speaks for the link's loss."""
SPEAKING = frozenset({*FAR_END, "interface", "state"})
"""Kinds of reading that say anything about their link being up."""


def mean(loss: int, weight: int, packets: int, lost: int) -> tuple[int, int]:
    """Running mean and its weight after a round of so many packets, one at least."""
    if packets < LEAST_PACKETS:
        packets, lost = LEAST_PACKETS, lost * LEAST_PACKETS // packets
    elif packets > WINDOW:
        packets, lost = WINDOW, lost * WINDOW // packets
    weight = min(weight + packets, WINDOW)
    return max(min(loss + (lost * WHOLE - loss * packets) // weight, WHOLE), 0), weight


@dataclass(slots=True)
class Witness:
    """What the last rounds of one probe of a link say."""

    up: bool | None = None
    """None: nothing that could be relied on."""
    good: int = 0
    bad: int = 0
    silent: int = 0
    lost: int = 0
    """Packets of the bad rounds, DOWN_PACKETS at most."""
    loss: int = 0
    """Running mean of the lost round trips, parts of WHOLE."""
    weight: int = 0
    """Round trips that the mean is over, WINDOW at most."""

    def answered(self) -> None:
        """Take in a round in which the far end was reached."""
        self.good, self.bad, self.silent, self.lost = min(self.good + 1, UP_ROUNDS), 0, 0, 0
        if self.good >= UP_ROUNDS:
            self.up = True

    def unanswered(self, lost: int, at_once: bool = False) -> None:
        """Take in a round in which it was not, with so many packets."""
        self.good, self.silent = 0, 0
        self.bad, self.lost = min(self.bad + 1, DOWN_ROUNDS), min(self.lost + lost, DOWN_PACKETS)
        many = self.bad >= DOWN_ROUNDS_LEAST and self.lost >= DOWN_PACKETS
        if at_once or many or self.bad >= DOWN_ROUNDS:
            self.up = False

    def measured_nothing(self) -> None:
        """Take in a round that says nothing: after a few of them, the ones before say nothing either."""
        self.silent = min(self.silent + 1, SILENT_ROUNDS)
        if self.silent >= SILENT_ROUNDS:
            self.up, self.good, self.bad, self.lost = None, 0, 0, 0
            self.forget_loss()

    def count(self, packets: int, lost: int) -> None:
        """Take the loss of a round into the mean; negative when replies came late for a round before."""
        self.loss, self.weight = mean(self.loss, self.weight, packets, lost)

    def forget_loss(self) -> None:
        """Begin a new mean."""
        self.loss, self.weight = 0, 0


def encode(witness: Witness) -> int:
    """The rounds that a witness remembers as a number below 4,464; its loss apart."""
    up = 0 if witness.up is None else 2 - witness.up
    streaks = witness.bad + 4 * (witness.silent + 4 * witness.lost)
    return up + 3 * (witness.good + 3 * streaks)


def decode(code: int, loss: int, weight: int) -> Witness:
    """The witness of a number; of one that encode never gives, some witness."""
    rest, up = divmod(code, 3)
    rest, good = divmod(rest, 3)
    rest, bad = divmod(rest, 4)
    lost, silent = divmod(rest, 4)
    return Witness((None, True, False)[up], good, bad, silent, min(lost, DOWN_PACKETS), loss, weight)


STEADY = encode(Witness(up=True, good=UP_ROUNDS))
"""The code of a witness that nothing happened to lately."""


def is_quiet(kind: str, witness: int, loss: int, readings: Iterable[Reading]) -> bool:
    """Whether rounds of one probe of an up link change nothing but its mean of loss: nearly all of them."""
    if witness != STEADY or loss >= DEGRADED:
        return False
    if kind == "interface":
        return all(each.outcome is Outcome.MEASURED and each.values[0] for each in readings)
    columns = FAR_END.get(kind)
    return columns is not None and all(_is_clean(columns, each) for each in readings)


def _is_clean(columns: _Columns, reading: Reading) -> bool:
    """Whether each round trip came back in time."""
    values = reading.values
    sent = values[columns.sent]
    return bool(
        sent
        and sent == values[columns.replies[0]]
        and reading.outcome is Outcome.MEASURED
        and not values[columns.replies[1]]
        and (columns.in_flight is None or not values[columns.in_flight])
    )


def settle(kind: str, loss: int, weight: int, readings: Iterable[Reading]) -> tuple[int, int]:
    """Running mean of loss and its weight after quiet rounds."""
    if kind == "interface" or (not loss and weight == WINDOW):
        return loss, weight
    at = FAR_END[kind].sent
    for reading in readings:
        loss, weight = mean(loss, weight, reading.values[at] or 1, 0)
    return loss, weight


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
        if speaker is None or speaker.weight < EVIDENCE:
            return State.DEGRADED if self.state is State.DEGRADED else State.UP
        limit = RECOVERED if self.state is State.DEGRADED else DEGRADED
        return State.DEGRADED if speaker.loss >= limit else State.UP

    def _known(self, kind: str) -> Witness | None:
        witness = self.witnesses.get(kind)
        return witness if witness and witness.up else None

    def _take_in_far_end(self, reading: Reading) -> bool | None:
        witness = self.witnesses.setdefault(reading.kind, Witness())
        _count(witness, reading)
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


def _count(witness: Witness, reading: Reading) -> None:
    """Let a round of a probe of the far end be seen by its witness."""
    columns, values = FAR_END[reading.kind], reading.values
    if reading.outcome is not Outcome.MEASURED:
        witness.measured_nothing()
        return
    in_flight = 0 if columns.in_flight is None else values[columns.in_flight] or 0
    packets = max((values[columns.sent] or 0) - in_flight, 0)
    if any(values[index] for index in columns.answers):
        if witness.up and witness.lost:
            # Rounds without an answer are loss once there is one again; before that they may be an outage.
            witness.count(witness.lost, witness.lost)
        witness.answered()
        if packets:
            witness.count(packets, packets - sum(values[index] or 0 for index in columns.replies))
    elif packets:
        witness.unanswered(packets)
    else:
        witness.measured_nothing()
