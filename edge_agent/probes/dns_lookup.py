"""From the queries of a round to the columns of a dns reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_agent.contract import Flag, row
from edge_agent.probes.dns_message import DnsError, Query, response_code
from edge_agent.probes.probe import Measurement
from edge_agent.probes.stamps import Stamp

STEP_NS = 1_000_000
"""A wall clock that moved this much more than the monotonic one was set, not slewed."""


@dataclass(slots=True)
class Lookup:
    """One query and how it ended: answered after so long, garbled, or neither (no answer)."""

    query: Query
    sent: Stamp
    took_ns: int | None = None
    code: int | None = None
    garbled: bool = False
    flags: Flag = Flag.NONE

    def received(self, message: bytes, at: Stamp) -> None:
        """Take a datagram; what is not the first answer to this query changes nothing.

        The kernel's stamp is of the wall clock, so it counts only while that clock was not set.
        """
        try:
            code = response_code(message, self.query)
        except DnsError:
            self.garbled = True
            return
        if code is None or self.took_ns is not None:
            return
        self.code, self.took_ns = code, at.monotonic_ns - self.sent.monotonic_ns
        stepped = abs((at.wall_ns - self.sent.wall_ns) - self.took_ns) > STEP_NS
        if stepped:
            self.flags = Flag.CLOCK_STEPPED
        elif at.kernel_ns is not None and self.sent.wall_ns <= at.kernel_ns <= at.wall_ns:
            self.took_ns, self.flags = at.kernel_ns - self.sent.wall_ns, Flag.KERNEL_RECEIVED


def summary(lookups: Sequence[Lookup]) -> Measurement:
    """The dns reading of a round: counts, then min, median, max and mean lookup time in µs.

    Every query is either answered (whatever the response code: the largest of the round is kept), corrupt
    (all that came for it could not be read) or timed out.
    """
    answered = [each for each in lookups if each.took_ns is not None]
    corrupt = sum(each.garbled and each.took_ns is None for each in lookups)
    flags = Flag.NONE
    if answered and all(Flag.KERNEL_RECEIVED in each.flags for each in answered):
        flags = Flag.KERNEL_RECEIVED
    if any(Flag.CLOCK_STEPPED in each.flags for each in answered):
        flags |= Flag.CLOCK_STEPPED
    counts = {
        "sent": len(lookups),
        "answered": len(answered),
        "timed_out": len(lookups) - len(answered) - corrupt,
        "corrupt": corrupt,
    }
    codes = [each.code for each in answered if each.code is not None]
    times = sorted(each.took_ns for each in answered if each.took_ns is not None)
    values = row("dns", **counts, rcode=max(codes, default=None), **_figures(times))
    return Measurement("dns", values, flags)


def _figures(times: Sequence[int]) -> dict[str, int]:
    if not times:
        return {}
    middle = (times[(len(times) - 1) // 2] + times[len(times) // 2]) / 2
    figures = {"min": times[0], "p50": middle, "max": times[-1], "mean": sum(times) / len(times)}
    return {f"lookup_{name}_us": int((figure + 500) // 1000) for name, figure in figures.items()}
