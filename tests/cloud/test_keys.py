"""Keys: built and parsed in one place, their order the order of time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud import keys
from edge_agent.contract import LINK_PATTERN, MAX_SPAN_MS

TIMES = st.integers(keys.MIN_MS, keys.MAX_MS)


@given(TIMES, st.integers(0, (1 << 63) - 1), st.integers(0, 10**10 - 1))
def test_a_chunk_sort_key_comes_back_as_it_went_in(at_ms: int, epoch: int, sequence: int) -> None:
    assert keys.parse_chunk_sort(keys.chunk_sort(at_ms, epoch, sequence)) == keys.ChunkId(
        at_ms, epoch, sequence
    )


@given(TIMES, TIMES)
def test_the_order_of_sort_keys_is_the_order_of_first_readings(first: int, second: int) -> None:
    if first < second:
        assert keys.chunk_sort(first, 2**63 - 1, 10**10 - 1) < keys.chunk_sort(second, 0, 0)
        assert keys.version(first, 2**63 - 1, 10**10 - 1) < keys.version(second, 0, 0)


@given(TIMES, st.integers(0, 3 * keys.DAY_MS), st.integers(0, MAX_SPAN_MS), st.integers(0, 10**10))
def test_the_ranges_of_a_query_hold_every_chunk_that_can_touch_it(
    since_ms: int, length_ms: int, before_ms: int, number: int
) -> None:
    until_ms = min(since_ms + length_ms, keys.MAX_MS)
    first_ms = max(min(since_ms - before_ms + number % (length_ms + before_ms + 1), until_ms), keys.MIN_MS)
    partition, sort = keys.chunk_partition("gw", first_ms), keys.chunk_sort(first_ms, 2**63 - 1, number)
    ranges = list(keys.chunk_ranges("gw", since_ms, until_ms, MAX_SPAN_MS))
    if first_ms >= since_ms - MAX_SPAN_MS:
        assert [1 for each, low, high in ranges if each == partition and low <= sort <= high] == [1]


def test_an_hour_within_a_day_is_one_query_and_over_midnight_two() -> None:
    noon = keys.MIN_MS + keys.DAY_MS // 2
    assert len(list(keys.chunk_ranges("gw", noon, noon + 3_600_000, MAX_SPAN_MS))) == 1
    midnight = keys.MIN_MS + keys.DAY_MS
    assert len(list(keys.chunk_ranges("gw", midnight, midnight + 3_600_000, MAX_SPAN_MS))) == 2


def test_no_day_is_asked_for_in_which_nothing_can_be_stored() -> None:
    assert len(list(keys.chunk_ranges("gw", 0, keys.MIN_MS, MAX_SPAN_MS))) == 1
    assert list(keys.chunk_ranges("gw", 0, keys.MIN_MS - keys.DAY_MS, MAX_SPAN_MS)) == []


@given(st.sampled_from(["echo", "interface"]), st.from_regex(LINK_PATTERN, fullmatch=True))
def test_attributes_of_the_latest_item_come_back_as_kind_and_link(kind: str, link: str) -> None:
    assert keys.parse_series(keys.series(kind, link)) == (kind, link)
    assert keys.parse_link(keys.link(link)) == link
    assert keys.parse_series(keys.link(link)) is None
    assert keys.parse_link(keys.series(kind, link)) is None


@pytest.mark.parametrize("name", ["ver", "rx", "n", "src", "site", "gateway"])
def test_no_other_attribute_of_the_latest_item_is_a_series_or_link(name: str) -> None:
    assert keys.parse_series(name) is None
    assert keys.parse_link(name) is None


@pytest.mark.parametrize("sort", ["", "1#2", "a#b#c", "1#2#3#4"])
def test_a_foreign_sort_key_is_an_error(sort: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        keys.parse_chunk_sort(sort)
