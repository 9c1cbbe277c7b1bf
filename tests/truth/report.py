"""A row of the truth report: what a probe said, what was true, and how far apart they may be."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.truth.passage import Passage

LATE_US = 250.0
"""From here on the wire was late: a miss may be the machine's, and the row is run again."""
LATE_RANK = 0.99


@dataclass(frozen=True)
class Row:
    """One estimate beside its truth; the error, the bound and the peers' errors are in ``unit`` too."""

    what: str
    condition: str
    estimate: float | None
    truth: float | None
    error: float | None
    """None when there is no estimate to compare."""
    unit: str
    bound: float
    """The largest error that is allowed."""
    reached: bool
    peers: Mapping[str, float] = field(default_factory=dict)
    """Error of other tools on the same wire in the same run."""
    wire_late_us: float = 0
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


Case = Callable[[], Iterable[Row]]
"""Measures some rows in one run of the lab; it is called again when the wire was late."""


def judge(
    what: str,
    condition: str,
    estimate: float | None,
    truth: float | None,
    unit: str,
    bound: float,
    peers: Mapping[str, float] | None = None,
    wire_late_us: float = 0,
    note: str = "",
) -> Row:
    """A row whose error is the distance of the estimate from the truth."""
    error = abs(estimate - truth) if estimate is not None and truth is not None else None
    reached = error is not None and error <= bound
    return Row(what, condition, estimate, truth, error, unit, bound, reached, peers or {}, wire_late_us, note)


def unmeasured(what: str, note: str) -> Row:
    """A row of which there is no measurement, with the reason."""
    return Row(what, "", None, None, None, "", 0, False, note=note)


def wire_late_us(log: Sequence[Passage]) -> float:
    """How late the wire wrote, µs: the 99th percentile (nearest rank) over its frames."""
    late = sorted(each.late_ns for each in log if each.index >= 0 and each.written_ns)
    return late[math.ceil(LATE_RANK * len(late)) - 1] / 1000 if late else 0.0
