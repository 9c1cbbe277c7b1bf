"""A part of `make truth` in every test run: the probes' numbers against the wire's log, with their bounds.

A row that misses counts as a failure unless the wire's own log shows, in every attempt, that the wire was
late: then the machine was too busy to tell, as the report itself would say.
"""

from __future__ import annotations

import pytest

from tests.truth import rows_busy, rows_capacity, rows_echo, rows_loss, rows_stamp
from tests.truth.__main__ import measure
from tests.truth.lab import needs_lab
from tests.truth.report import LATE_US, Case

_LOSS = [0, 2, 3, 8, 9, 11, 12, 13]
"""Of rows_loss: nothing, loss both ways, ends of rounds, duplicates, held back, late, all, all over IPv6."""
CASES: list[tuple[str, Case]] = [
    ("echo", rows_echo.idle),
    ("busy", rows_busy.cases()[0]),
    ("stamp", rows_stamp.cases()[0]),
    ("capacity", rows_capacity.cases()[3]),
    *(("loss", rows_loss.cases()[number]) for number in _LOSS),
]


@needs_lab
@pytest.mark.parametrize(("name", "case"), CASES)
def test_the_numbers_are_true(name: str, case: Case) -> None:
    rows = measure(name, case)
    assert rows
    misses = [row for row in rows if not row.reached and (not row.bound or row.wire_late_us <= LATE_US)]
    assert not misses
