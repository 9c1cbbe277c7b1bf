"""Changes of link states that wait in the latest items of silent gateways: told by the rollup pass.

Ingestion tells of a change with the batch that made it; what the bus did not take then, or what a crash left
untold, is told with the gateway's next batch. The gateway that has just gone down sends none: its changes are
told here, from the items that the pass reads anyway, at no cost but that of a change. As there, each is told
at least once and always under the same id: twice when something ends between the telling and the removal of
the mark, or when two passes meet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cloud import keys
from cloud.dynamo import Patience
from cloud.keys import Item
from cloud.latest import Latest
from cloud.latest_telling import Taken, Teller

QUIET_MS = 600_000
"""A gateway that nothing was received from for so long: ingestion, which ends after a minute, is done with it
unless it is behind, and then a change may be told by both, under its one id."""
MOST_IN_PASS = 1_000
"""Changes of one pass, a hundred calls of the bus: the rest waits for the next one."""
FAILURES = 3
"""Pages of which the bus takes nothing before it is left alone for this pass: silence costs 12 s each."""
COUNTS = ("Changes", "ChangesWaiting")


@dataclass(slots=True)
class SilentTelling:
    """A visitor of the rollup pass that tells of what waits; it raises nothing, whatever the bus does."""

    teller: Teller
    _taken: Taken = field(default_factory=Taken)
    _seen: set[str] = field(default_factory=set)
    """Gateways of this pass: one that catches up reads each several times."""
    _tried: int = 0
    _failures: int = 0

    def __call__(
        self, items: Sequence[Item], states: Mapping[str, Latest], now_ms: int, patience: Patience
    ) -> None:
        """Tell of the changes in these items whose gateway is silent, and remove the marks of those told."""
        due = []
        for item in items:
            gateway = item[keys.LATEST_KEY]["S"]
            state = states.get(gateway)
            if state is None or not state.changes or now_ms - state.rx_ms < QUIET_MS or gateway in self._seen:
                continue
            self._seen.add(gateway)
            if self._tried >= MOST_IN_PASS or self._failures >= FAILURES:
                self._taken.count("ChangesWaiting", len(state.changes))
                continue
            due.append(item)
            self._tried += len(state.changes)
        if due:
            before = self._taken.counts["Changes"]
            self.teller.tell(due, patience, self._taken)
            self._failures += self._taken.counts["Changes"] == before

    def taken(self) -> dict[str, int]:
        """The counts of the pass that ends here; they begin anew."""
        counts = {name: self._taken.counts[name] for name in COUNTS}
        self._taken, self._seen, self._tried, self._failures = Taken(), set(), 0, 0
        return counts
