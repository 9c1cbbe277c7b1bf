"""The parts of a rollup: packed forms, sizes, settings, cursors, the graph."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud import keys, rollup_item
from cloud.buckets import DAY, FINE, HOUR
from cloud.keys import DAY_MS, HOUR_MS
from cloud.rollup_item import RollupError
from cloud.rollup_summary import QUANTITIES, summarise
from cloud.sketch import MAX_VALUE
from cloud.varint import varint, varints
from edge_agent.contract import KINDS, Outcome, Reading
from tests.cloud.records import NOW, batch, echo, fleet_batch, size

START = NOW // DAY_MS * DAY_MS


def test_five_minutes_of_ten_links_are_one_write_unit_and_so_is_their_hour() -> None:
    day = [fleet_batch("gateway-00017", START + minute * 60_000, seed=5) for minute in range(120)]
    fine = rollup_item.of_batches("gateway-00017", day, START, START + 2 * HOUR_MS)
    assert len(fine) == 24
    assert max(size(rollup_item.pack(each, 35)) for each in fine) <= 1024
    assert max(size(rollup_item.pack(each, 400)) for each in rollup_item.combine(fine, HOUR)) <= 1024


def test_ten_links_whose_every_median_differs_stay_under_three_kilobytes() -> None:
    rng = random.Random(4)
    readings = [
        echo(f"gateway-00017.port{number}", START + k * 10_000, int(rng.lognormvariate(10, 1)), received=4)
        for number in range(10)
        for k in range(30)
    ]
    (found,) = rollup_item.of_batches("gateway-00017", [batch(readings=readings)], START, START + 300_000)
    assert size(rollup_item.pack(found, 35)) <= 3072


@st.composite
def any_reading(draw: st.DrawFn) -> Reading:
    """Whatever the contract takes, lies included."""
    kind = KINDS[draw(st.sampled_from(sorted(KINDS)))]
    values = tuple(
        draw(st.none() | st.sampled_from([0, 1, column.maximum]) | st.integers(0, column.maximum))
        for column in kind.columns
    )
    outcome = draw(st.sampled_from([Outcome.MEASURED, Outcome.DENIED]))
    link, at_ms = draw(st.sampled_from("abc")), draw(st.integers(START, START + HOUR_MS))
    return Reading(link, kind.name, at_ms, values, outcome=outcome)


@given(st.lists(any_reading(), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_whatever_readings_say_their_rollups_pack_merge_and_read_back(
    readings: list[Reading], rng: random.Random
) -> None:
    shuffled = rng.sample(readings, len(readings))
    cut = rng.randrange(len(readings))
    parts = [part for part in (shuffled[:cut], shuffled[cut:]) if part]
    whole = rollup_item.of_batches("gw", [batch(readings=readings)], 0, keys.MAX_MS)
    split = rollup_item.of_batches("gw", [batch(readings=part) for part in parts], 0, keys.MAX_MS)
    assert [each.series for each in split] == [each.series for each in whole]
    for step in (HOUR, DAY):
        whole = rollup_item.combine(whole, step)
        assert all(rollup_item.parse(rollup_item.pack(each, 9)) == each for each in whole)
    (day,) = whole
    assert day.series == summarise(readings)
    for measure in (each for summary in day.series for each in summary.measures if each):
        assert measure.quantile(0) <= measure.quantile(1000) <= measure.high


def test_a_rate_beyond_all_reason_is_the_greatest_that_there_is() -> None:
    columns = KINDS["interface"].columns
    values = tuple(1 if column.name == "period_ms" else column.maximum for column in columns)
    (found,) = summarise([Reading("a", "interface", START, values)])
    assert [each and each.low for each in found.measures] == [MAX_VALUE, MAX_VALUE]


def test_every_quantity_is_of_columns_that_its_kind_has() -> None:
    for kind, quantities in QUANTITIES.items():
        names = {column.name for column in KINDS[kind].columns}
        for each in quantities:
            used = {each.typical, each.low, each.high, each.mean, each.weight, each.per_ms} - {""}
            assert used <= names


def test_a_rollup_of_other_bytes_is_an_error_that_says_so() -> None:
    (found,) = rollup_item.of_batches("gw", [batch()], 0, keys.MAX_MS)
    item = rollup_item.pack(found, 1)
    data = item[keys.ROLLUP]["B"]
    for damaged in (b"", b"\x63" + data[1:], data[:-1], data[:1], data[:1] + b"\xff" * 9):
        with pytest.raises(RollupError):
            rollup_item.parse({**item, keys.ROLLUP: {"B": damaged}})
    with pytest.raises(RollupError):
        rollup_item.parse({**item, "p": {"S": "gw#20261121"}})


def test_a_rollup_keeps_until_its_time_to_live_after_its_period() -> None:
    (found,) = rollup_item.of_batches("gw", [batch(readings=[echo(at_ms=START)])], 0, keys.MAX_MS)
    assert int(rollup_item.pack(found, 35)[keys.EXPIRES]["N"]) == (START + 300_000) // 1000 + 35 * 86_400


@given(st.lists(st.integers(0, 1 << 70)))
def test_numbers_pack_and_read_back(numbers: list[int]) -> None:
    assert [*varints(b"".join(map(varint, numbers)))] == numbers
    with pytest.raises(ValueError, match="negative"):
        varint(-1)


# --- keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [FINE, HOUR, DAY], ids=["5m", "1h", "1d"])
@given(since=st.integers(0, 400), span=st.integers(1, 900))
def test_the_key_ranges_of_rollups_hold_just_the_periods_that_start_in_them(
    step: Any, since: int, span: int
) -> None:
    low, high = START + since * HOUR_MS, START + (since + span) * HOUR_MS
    ranges = [*keys.rollup_ranges("gw", step.name, low, high)]
    assert len({partition for partition, _, _ in ranges}) == len(ranges)
    for at in (low, low + 1, (low + high) // 2, high - 1, low - 1, high):
        start = step.start(at)
        place = keys.rollup_partition("gw", step.name, start), keys.rollup_sort(start)
        found = [each for each in ranges if each[0] == place[0] and each[1] <= place[1] <= each[2]]
        assert len(found) == (low <= start < high)


@pytest.mark.parametrize("gateway", ["R", "D", "P", "G", "Q", "gw-1", "20261121"])
def test_no_gateway_has_a_name_that_mixes_its_chunks_with_anything_else(gateway: str) -> None:
    others = [keys.rollup_partition(gateway, name, START) for name in ("5m", "1h", "1d")]
    others += [keys.mark_partition(shard) for shard in range(keys.MARK_SHARDS)]
    others += [keys.CURSOR_PARTITION, keys.snapshot_partition(0)]
    assert not any(map(keys.is_chunk, others))
    assert keys.is_chunk(keys.chunk_partition(gateway, START))
    assert keys.parse_rollup(others[0], keys.rollup_sort(START)) == (gateway, "5m", START)
