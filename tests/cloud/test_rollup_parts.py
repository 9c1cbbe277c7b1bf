"""The parts of a rollup: packed forms, sizes, settings, cursors, the graph."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud import keys, rollup, rollup_cursor, rollup_item, snapshot
from cloud.buckets import DAY, FINE, HOUR
from cloud.keys import DAY_MS, HOUR_MS
from cloud.rollup_cursor import Cursor
from cloud.rollup_item import RollupError
from cloud.rollup_settings import load
from cloud.rollup_summary import QUANTITIES, summarise
from cloud.settings import SettingsError
from cloud.snapshot import Edge, Head, SnapshotError
from cloud.varint import varint, varints
from edge_agent.contract import KINDS, Outcome, Reading
from tests.cloud.records import NOW, batch, echo, fleet_batch

START = NOW // DAY_MS * DAY_MS


def size(item: dict[str, Any]) -> int:
    """Bytes of an item as DynamoDB counts them: names and values, at most 21 of a number."""
    return sum(
        len(name) + (len(value["S"]) if "S" in value else len(value["B"]) if "B" in value else 21)
        for name, value in item.items()
    )


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
    values = tuple(draw(st.none() | st.integers(0, column.maximum)) for column in kind.columns)
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


# --- cursor, settings, entry ------------------------------------------------------------------------


def test_a_cursor_reads_back_and_the_next_sweep_is_of_an_hour_at_most() -> None:
    cursor = Cursor(1, 4, START, START + 5, START + HOUR_MS, "gw-7", 3, (1, 2, 1), 9)
    assert rollup_cursor.parse(rollup_cursor.pack(cursor)) == cursor
    idle = replace(cursor, done_ms=START, until_ms=START)
    assert idle.next_until(START + DAY_MS) == START + HOUR_MS
    assert idle.next_until(START + 16 * 60_000) == START + 300_000


def test_a_new_share_of_the_gateways_begins_where_the_slowest_pass_is() -> None:
    others = [Cursor(0, 1, START, START + HOUR_MS, START + HOUR_MS), Cursor(0, 2, START, START, START)]
    assert rollup_cursor.first(1, 2, others, START + DAY_MS).done_ms == START
    assert rollup_cursor.first(0, 1, [], START + HOUR_MS).done_ms == START


@pytest.mark.parametrize(
    ("event", "share"), [({}, (0, 1)), ({"segment": 3, "segments": 4}, (3, 4)), ({"version": "0"}, (0, 1))]
)
def test_the_schedules_input_names_the_share(event: dict[str, Any], share: tuple[int, int]) -> None:
    assert rollup.share_of(event) == share


@pytest.mark.parametrize("event", [{"segment": 1}, {"segment": "0"}, {"segment": -1}, {"segments": 0}])
def test_a_share_that_is_none_is_an_error(event: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="in the schedule's input"):
        rollup.share_of(event)


ENVIRONMENT = {
    "STAGE": "test",
    "READINGS_TABLE": "r",
    "LATEST_TABLE": "l",
    "RETENTION_DAYS": "30",
    "LATE_DAYS": "35",
    "ROLLUP_5M_DAYS": "7",
    "ROLLUP_1H_DAYS": "400",
    "ROLLUP_1D_DAYS": "1830",
    "RESEND_HOURS": "0",
}


def test_the_window_ends_before_chunks_expire_and_rollups_outlive_it() -> None:
    settings = load(ENVIRONMENT)
    assert settings.window_days == 29
    assert [settings.keep_days(step) for step in (FINE, HOUR, DAY)] == [31, 400, 1_830]


@pytest.mark.parametrize("name", sorted(ENVIRONMENT))
def test_a_missing_or_wrong_variable_is_named(name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load({**ENVIRONMENT, name: ""})
    if unit := re.search("DAYS|HOURS", name):
        with pytest.raises(SettingsError, match=f"{name} is '-1', not a number of {unit[0].lower()}"):
            load({**ENVIRONMENT, name: "-1"})


# --- the graph --------------------------------------------------------------------------------------


def graph(count: int) -> list[Edge]:
    rng, edges = random.Random(1), []
    for number in range(count):
        gateway = f"gateway-{number // 10:05}"
        p50_us = rng.choice([None, rng.randrange(90_000)])
        peer, at_ms, lost = f"site-{rng.randrange(900)}", START + rng.randrange(60_000), rng.randrange(3)
        edges.append(
            Edge(gateway, f"{gateway}.p{number % 10}", peer, "radio", "echo", at_ms, 30, lost, p50_us)
        )
    return edges


def test_ten_thousand_links_are_one_item_that_reads_back() -> None:
    edges = graph(10_000)
    items = snapshot.pack(edges, 0, START, 0)
    assert len(items) == 1
    assert size(items[0]) < 150_000
    assert snapshot.parse(items[0], Head(0, 1, START, (1,))) == edges


def test_a_graph_that_is_too_large_is_split_and_the_head_names_its_parts() -> None:
    edges = graph(500)
    items = snapshot.pack(edges, 0, START, 0, limit=3_000)
    head = Head(0, 1, START, (len(items),))
    assert len(items) > 1
    assert max(len(each[keys.ROLLUP]["B"]) for each in items) <= 3_000
    assert [each["s"]["S"] for each in items] == snapshot.sorts(head)
    assert [edge for each in items for edge in snapshot.parse(each, head)] == edges
    assert snapshot.parse_head(snapshot.pack_head(head), 0) == head


def test_a_part_of_another_building_or_of_other_bytes_is_refused() -> None:
    (item,) = snapshot.pack(graph(3), 0, START, 0)
    with pytest.raises(SnapshotError, match="newer graph"):
        snapshot.parse(item, Head(0, 1, START + 600_000, (1,)))
    for data in (b"", b"\x63", item[keys.ROLLUP]["B"][:-2]):
        with pytest.raises(SnapshotError):
            snapshot.unpack_edges(data)
    assert snapshot.unpack_edges(snapshot.pack_edges([])) == []
