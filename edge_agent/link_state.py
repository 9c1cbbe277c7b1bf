"""Whether a link is up, by the readings of its probes; what was not measured says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from edge_agent.contract import KINDS, Outcome, Reading

DOWN_ROUNDS = 3
"""Rounds in a row without an answer, of one probe, that make a link down ..."""
DOWN_PACKETS = 30
"""... or so many packets in at least two rounds: a metered link has one round of 20 every 5 min."""
DOWN_ROUNDS_LEAST = 2
UP_ROUNDS = 2
SILENT_ROUNDS = 3
"""Rounds in a row that measured nothing, after which what a probe found before says nothing any more."""

ANSWERS: Mapping[str, tuple[str, ...]] = {
    "echo": ("received", "late", "duplicate", "corrupt"),
    "stamp": ("received", "late", "duplicate", "corrupt"),
    "connect": ("connected", "refused"),
}
"""The kinds that reach for the far end, and the columns that show it was reached: to refuse is to answer."""
_IN_FLIGHT = {kind for kind in ANSWERS if any(each.name == "in_flight" for each in KINDS[kind].columns)}


def tells_of_link(kind: str) -> bool:
    """Whether readings of a kind say anything about their link being up."""
    return kind == "interface" or kind in ANSWERS


@dataclass(slots=True)
class Witness:
    """One probe of a link: what its last rounds say."""

    up: bool | None = None
    """None: nothing that could be relied on."""
    good: int = 0
    bad: int = 0
    silent: int = 0
    lost: int = 0
    """Packets of the bad rounds."""

    def answered(self) -> None:
        """Take in a round in which the far end was reached."""
        self.good, self.bad, self.silent, self.lost = self.good + 1, 0, 0, 0
        if self.good >= UP_ROUNDS:
            self.up = True

    def unanswered(self, lost: int, at_once: bool = False) -> None:
        """Take in a round in which it was not, with so many packets."""
        self.good, self.bad, self.silent, self.lost = 0, self.bad + 1, 0, self.lost + lost
        many = self.bad >= DOWN_ROUNDS_LEAST and self.lost >= DOWN_PACKETS
        if at_once or many or self.bad >= DOWN_ROUNDS:
            self.up = False

    def measured_nothing(self) -> None:
        """Take in a round that says nothing: after a few of them, the ones before say nothing either."""
        self.silent += 1
        if self.silent >= SILENT_ROUNDS:
            self.up, self.good, self.bad, self.lost = None, 0, 0, 0


class LinkState:
    """Puts together what the probes of one link say.

    A link is up as long as a probe to its far end is answered, and down when none of them is. When its
    interface goes down it is down at once, until the far end is reached again; so an interface whose driver
    lies makes the link down once, not at each of its rounds. Where nothing probes the far end, or what does
    is silent (the data budget is spent), the interface alone decides.
    """

    def __init__(self, far_end_probed: bool) -> None:
        self.up: bool | None = None
        """None until it is known."""
        self.rounds = 0
        """How many rounds in a row have said so, by the probe that spoke last."""
        self._far_end_probed = far_end_probed
        self._interface = Witness()
        self._far_end: dict[str, Witness] = {}
        self._interface_fell = False
        """Whether it is down because its interface went down."""

    def take_in(self, reading: Reading) -> None:
        """Let a round change what is known."""
        if reading.kind == "interface":
            self._take_in_interface(reading)
            witness = self._interface
        else:
            witness = self._far_end.setdefault(reading.kind, Witness())
            _count(witness, reading)
            self._ask_far_end()
        self.rounds = max(witness.good, witness.bad)

    def _ask_far_end(self) -> None:
        known = [each.up for each in self._far_end.values() if each.up is not None]
        if known:
            self.up = any(known)
            self._interface_fell = False

    def _take_in_interface(self, reading: Reading) -> None:
        before = self._interface.up
        if reading.outcome is Outcome.MEASURED and reading["up"]:
            self._interface.answered()
            if self._interface.good == 1:  # what was silent meanwhile may speak now
                self._far_end = {kind: replace(each, silent=0) for kind, each in self._far_end.items()}
        elif reading.outcome in (Outcome.MEASURED, Outcome.NO_INTERFACE):
            self._interface.unanswered(0, at_once=True)
        else:
            self._interface.measured_nothing()
        if self._interface.up is False and before is not False:
            self._far_end = {kind: Witness() for kind in self._far_end}
            self.up, self._interface_fell = False, True
        elif self._interface.up and self._interface_decides():
            self.up, self._interface_fell = True, False

    def _interface_decides(self) -> bool:
        if self.up is not None and not self._interface_fell:
            return False
        if not self._far_end:
            return not self._far_end_probed
        return all(each.silent >= SILENT_ROUNDS for each in self._far_end.values())


def _count(witness: Witness, reading: Reading) -> None:
    if reading.outcome is not Outcome.MEASURED:
        witness.measured_nothing()
    elif any(reading[column] for column in ANSWERS[reading.kind]):
        witness.answered()
    elif lost := _lost(reading):
        witness.unanswered(lost)
    else:
        witness.measured_nothing()


def _lost(reading: Reading) -> int:
    in_flight = reading["in_flight"] if reading.kind in _IN_FLIGHT else 0
    return max((reading["sent"] or 0) - (in_flight or 0), 0)
