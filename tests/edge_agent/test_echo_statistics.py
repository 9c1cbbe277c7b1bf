"""The columns of an echo reading, from the round trips of a round."""

from __future__ import annotations

import statistics as reference

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.probes.echo_statistics import statistics

MS = 1_000_000


def test_statistics_of_a_known_round() -> None:
    """1, 2, lost, 4 and 8 ms: ipdv has the pairs (1, 2) and (4, 8) only."""
    assert statistics([MS, 2 * MS, None, 4 * MS, 8 * MS]) == (1000, 3000, None, 8000, 3750, 3096, 2500)


def test_nothing_received_is_null_not_zero() -> None:
    assert statistics([None, None]) == (None,) * 7


def test_one_reply_has_no_deviation_and_no_variation() -> None:
    assert statistics([None, 5 * MS, None]) == (5000, 5000, None, 5000, 5000, None, None)


def test_p95_needs_twenty_replies() -> None:
    assert statistics([MS * n for n in range(1, 20)])[2] is None
    assert statistics([MS * n for n in range(1, 21)])[2] == 19_000


@given(st.lists(st.none() | st.integers(0, 10_000_000_000), max_size=60))
def test_statistics_agree_with_the_standard_library(trips: list[int | None]) -> None:
    low, middle, p95, high, mean, deviation, _ = statistics(trips)
    replies = [trip / 1000 for trip in trips if trip is not None]
    if not replies:
        assert low is None
        return
    assert low is not None and middle is not None and high is not None and mean is not None
    assert low <= middle <= (high if p95 is None else p95) <= high
    assert low <= mean <= high
    assert middle == pytest.approx(reference.median(replies), abs=0.51)
    assert mean == pytest.approx(reference.fmean(replies), abs=0.51)
    if len(replies) > 1:
        assert deviation == pytest.approx(reference.stdev(replies), abs=0.51)
