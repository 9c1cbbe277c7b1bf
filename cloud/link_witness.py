"""What the last rounds of one probe of a link say of it, and how that is kept as a few small numbers (pure).

The loss is a running mean over about WINDOW round trips: 5 minutes of the default profile, as a period of
`linkview availability`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from cloud.tallies import COUNTED
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


_ROUND_TRIP = "received", "late", "duplicate", "corrupt"
_REACHED = {"echo": _ROUND_TRIP, "stamp": _ROUND_TRIP, "connect": ("connected", "refused")}
"""By kind of probe of the far end, the columns that show it was reached: to refuse is to answer."""


def _indices(kind: str) -> tuple[int, ...]:
    at = {column.name: index for index, column in enumerate(KINDS[kind].columns)}
    return tuple(at[name] for name in _REACHED[kind])


FAR_END: Mapping[str, tuple[int, ...]] = {kind: _indices(kind) for kind in _REACHED}
"""Probes of the far end, and where they say that it was reached; the first that knows speaks for the loss."""


def mean(loss: int, weight: int, packets: int, lost: int) -> tuple[int, int]:
    """Running mean and its weight after a round of so many packets, one at least."""
    if weight == WINDOW and LEAST_PACKETS <= packets <= WINDOW:  # nearly always
        loss += (lost * WHOLE - loss * packets) // WINDOW
        return (loss if 0 <= loss <= WHOLE else 0 if loss < 0 else WHOLE), WINDOW
    if packets < LEAST_PACKETS:
        packets, lost = LEAST_PACKETS, lost * LEAST_PACKETS // packets
    elif packets > WINDOW:
        packets, lost = WINDOW, lost * WINDOW // packets
    weight = min(weight + packets, WINDOW)
    return max(min(loss + (lost * WHOLE - loss * packets) // weight, WHOLE), 0), weight


@lru_cache(maxsize=1 << 14)
def settle(loss: int, weight: int, sent: tuple[int, ...]) -> tuple[int, int]:
    """Running mean and its weight after rounds that lost nothing, of so many packets each."""
    for packets in sent:
        if weight == WINDOW and LEAST_PACKETS <= packets <= WINDOW:
            if not loss:
                break
            loss = max(loss + -loss * packets // WINDOW, 0)
        else:
            loss, weight = mean(loss, weight, packets, 0)
    return loss, weight


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


def count(witness: Witness, reading: Reading) -> None:
    """Let a round of a probe of the far end be seen by its witness."""
    values = reading.values
    if reading.outcome is not Outcome.MEASURED:
        witness.measured_nothing()
        return
    packets, back = COUNTED[reading.kind].trips(values)
    if any(values[index] for index in FAR_END[reading.kind]):
        if witness.up and witness.lost:
            # Rounds without an answer are loss once there is one again; before that they may be an outage.
            witness.count(witness.lost, witness.lost)
        witness.answered()
        if packets:
            witness.count(packets, packets - back)
    elif packets:
        witness.unanswered(packets)
    else:
        witness.measured_nothing()
