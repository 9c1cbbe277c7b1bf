"""The quantile sketch: its error, its merging and its packed form."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud import sketch
from cloud.sketch import MAX_VALUE, Sketch

VALUES = st.lists(
    st.one_of(st.integers(0, 200), st.integers(0, 1 << 32), st.integers(0, MAX_VALUE)),
    min_size=1,
    max_size=80,
)


def exact(values: list[int], permille: int) -> int:
    return sorted(values)[max(-(-permille * len(values) // 1000), 1) - 1]


@given(VALUES, st.integers(0, 1000))
def test_a_quantile_is_within_one_per_cent_of_the_nearest_rank(values: list[int], permille: int) -> None:
    found, true = sketch.sketch(values).quantile(permille), exact(values, permille)
    assert found is not None
    assert abs(found - true) * 100 <= true + 50


@given(VALUES, st.integers(0, 80), st.randoms(use_true_random=False))
def test_it_does_not_matter_how_values_are_split_ordered_and_merged(
    values: list[int], cut: int, rng: random.Random
) -> None:
    shuffled = rng.sample(values, len(values))
    parts = [sketch.sketch(part) for part in (shuffled[:cut], shuffled[cut:])]
    assert sketch.merged(parts) == sketch.merged(reversed(parts)) == sketch.sketch(values)
    assert sketch.merged(parts).count == len(values)


@given(VALUES)
def test_a_sketch_packed_and_read_is_the_same(values: list[int]) -> None:
    made = sketch.sketch(values)
    packed = sketch.numbers(made)
    source = iter([*packed, 77])
    assert sketch.read(source) == made
    assert next(source) == 77


def test_small_values_are_exact_and_nothing_has_no_quantile() -> None:
    assert [sketch.sketch([value]).quantile(500) for value in range(50)] == [*range(50)]
    assert sketch.sketch([MAX_VALUE]).quantile(1000) == pytest.approx(MAX_VALUE, rel=0.01)
    assert sketch.sketch([MAX_VALUE + 1]) == sketch.sketch([MAX_VALUE])
    assert Sketch().quantile(500) is None
    assert Sketch().count == 0
    with pytest.raises(ValueError, match="no rank"):
        Sketch().quantile(1001)


@pytest.mark.parametrize("damaged", [[], [1], [1, 5], [1, 5, 0], [1, 99_999, 1], [2, 5, 1, 0, 1]])
def test_what_is_no_sketch_is_refused(damaged: list[int]) -> None:
    with pytest.raises(ValueError, match="sketch"):
        sketch.read(iter(damaged))


def test_the_buckets_are_where_they_were_when_the_first_was_stored() -> None:
    """Stored sketches name buckets by number, so no number may ever change its meaning."""
    given = {0: 0, 1: 1, 2: 36, 1_000: 347, 12_345: 473, 560_000: 663, MAX_VALUE: 2_219}
    assert {value: sketch.sketch([value]).buckets[0][0] for value in given} == given
