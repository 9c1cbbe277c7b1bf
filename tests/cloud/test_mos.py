"""The estimated opinion score: held to figures of ITU-T G.107, and to what a listener would expect."""

from __future__ import annotations

import pytest

from cloud import mos


def test_a_path_without_delay_and_loss_has_the_default_rating() -> None:
    """G.107 (06/2015), table 2: "the default values ... result in a rating of R = 93.2"."""
    assert mos.rating(0, 0) == pytest.approx(93.2, abs=0.1)
    assert mos.score(93.2) == pytest.approx(4.41, abs=0.01)


@pytest.mark.parametrize(
    ("r", "expected"), [(-5, 1.0), (50, 2.58), (60, 3.10), (70, 3.60), (80, 4.03), (90, 4.34), (100, 4.5)]
)
def test_ratings_are_scores_as_in_annex_b(r: float, expected: float) -> None:
    """G.107, table B.1: R 90 is 4.34, 80 is 4.03, 70 is 3.60, 60 is 3.10, 50 is 2.58."""
    assert mos.score(r) == pytest.approx(expected, abs=0.01)


def test_loss_and_delay_make_it_worse_and_never_better() -> None:
    by_loss = [mos.estimate(20_000, lost, 100) or 0 for lost in range(101)]
    by_delay = [mos.estimate(ms * 1000, 0, 100) or 0 for ms in range(0, 2_000, 20)]
    for scores in (by_loss, by_delay):
        assert scores == sorted(scores, reverse=True)
        assert all(1 <= each <= 4.5 for each in scores)


def test_no_round_trips_are_no_score() -> None:
    assert mos.estimate(20_000, 0, 0) is None
