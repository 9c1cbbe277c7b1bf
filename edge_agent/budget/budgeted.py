"""Keeps a probe within the data budget: no round on a metered interface that was not booked first."""

from __future__ import annotations

from collections.abc import Sequence

from edge_agent.budget.meters import Meters
from edge_agent.budget.spend import Purpose, Spend
from edge_agent.contract import KINDS, Outcome
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.probe import IPV4_HEADER, IPV6_HEADER, Cadence, Measurement, Probe, ProbeError
from edge_agent.probes.resolve import Resolver

LOOKUP_BYTES = 600
"""A question for each family to a name server, and the answers, as a rule."""
UNSENT = frozenset({Outcome.UNRESOLVED, Outcome.NO_INTERFACE, Outcome.OFF_PATH})
"""Rounds that ended so have sent nothing to the target."""
SPEED = frozenset({"capacity", "bulk"})
"""Kinds that fill a link: the first to wait. They tell what they really spent."""
ASKS_EACH_TIME = frozenset({"http"})
"""Kinds of which the look-up of the name is a part."""


class Budgeted:
    """A probe whose rounds are booked before they begin; one that is refused is recorded as OVER_BUDGET."""

    def __init__(
        self, probe: Probe, settings: Cadence, spend: Spend, meters: Meters, resolver: Resolver
    ) -> None:
        """``resolver`` is the probe's own: what it knows costs no question."""
        self.kind = probe.kind
        self._probe = probe
        self._settings = settings
        self._spend = spend
        self._meters = meters
        self._resolver = resolver
        self._purpose = Purpose.SPEED if probe.kind in SPEED else Purpose.PROBE

    async def __call__(self, link: ProbedLink) -> Measurement | Sequence[Measurement]:
        """One round; raises ProbeError when it is not admitted, before the first byte."""
        endpoint = self._resolver.known(link.target) if link.target else None
        meter = self._meters.of_link(link, endpoint)
        if not meter:
            return await self._probe(link)
        header = IPV4_HEADER if endpoint and ":" not in endpoint.address else IPV6_HEADER
        round_bytes = self._settings.round_bytes(header)
        asks = endpoint is None or (self.kind in ASKS_EACH_TIME and endpoint.address != link.target)
        size = round_bytes + (LOOKUP_BYTES if asks else 0)
        if not self._spend.book(self._purpose, size, meter):
            message = f"the data budget of {meter} does not admit {size} B now: see 'edge-agent budget'"
            raise ProbeError(Outcome.OVER_BUDGET, message)
        try:
            measured = await self._probe(link)
        except ProbeError as exc:
            if exc.outcome in UNSENT:
                self._spend.correct(self._purpose, -round_bytes, meter)
            raise
        spent = _spent_bytes(measured)
        if spent is not None:
            self._spend.correct(self._purpose, spent - round_bytes, meter)
        return measured

    def close(self) -> None:
        """Release the probe and the way to ask for routes."""
        self._probe.close()
        self._meters.close()


def _spent_bytes(measured: Measurement | Sequence[Measurement]) -> int | None:
    """What the round says that it has spent; None where it does not."""
    first = measured if isinstance(measured, Measurement) else measured[0]
    if first.kind not in SPEED:
        return None
    names = [column.name for column in KINDS[first.kind].columns]
    return first.values[names.index("spent_bytes")]
