"""The latest state as bytes: it comes back as it went in, and what is no state is an error."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud import enrich, keys, latest, latest_bytes, latest_columns, latest_image
from cloud.enrich import Progress
from cloud.latest import Series
from cloud.latest_front import Place
from cloud.latest_image import Row
from cloud.registry import Entry
from edge_agent.contract import KINDS, ContractError, Flag, Outcome, Reading
from tests.cloud.latest_made import KEEP_MS, arrival, item_of, row
from tests.cloud.records import EPOCH, NOW, batch, echo, interface

READINGS = st.sampled_from(sorted(KINDS)).flatmap(
    lambda kind: st.builds(
        Reading,
        link=st.just("a.b"),
        kind=st.just(kind),
        at_ms=st.integers(0, (1 << 63) - 1),
        values=st.tuples(*(st.none() | st.integers(0, column.maximum) for column in KINDS[kind].columns)),
        flags=st.integers(0, 127).map(Flag),
        outcome=st.sampled_from(Outcome),
    )
)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)
PLACES = st.builds(Place, TEXTS, TEXTS) | st.builds(
    Place, TEXTS, TEXTS, st.just(-33.918861), st.just(18.4233)
)
NUMBERS = st.integers(0, 255) | st.integers(0, (1 << 64) - 1)
ROWS = st.builds(Row, st.integers(0, (1 << 63) - 1), *[NUMBERS] * 7, st.binary(min_size=43, max_size=43))


@given(READINGS, st.integers(0, 65_534), st.integers(0, 65_534))
def test_a_series_comes_back_as_it_went_in(reading: Reading, sent: int, lost: int) -> None:
    image = latest_image.image({KINDS[reading.kind].code: {"a.b": row(reading, sent, lost)}}, {})
    item = latest.pack("gw-1", keys.version(NOW, EPOCH, 0), image, b"")
    assert latest.parse(item).series == (Series(reading, sent, lost),)


@given(st.data())
def test_an_image_comes_back_as_it_went_in(data: Any) -> None:
    names = data.draw(st.lists(TEXTS, min_size=1, max_size=6, unique=True))
    codes = data.draw(st.lists(st.integers(0, 255), max_size=4, unique=True))
    rows = {code: data.draw(st.dictionaries(st.sampled_from(names), ROWS, min_size=1)) for code in codes}
    said = {name: data.draw(st.tuples(TEXTS, TEXTS, st.integers(0, 1 << 40))) for name in names}
    image = latest_image.image(rows, said, data.draw(PLACES))
    image.rx_ms, image.direct, image.numbered, image.left_out = NOW, True, 4096, 65_535
    links = len(image.front.links)
    image.states = data.draw(st.tuples(*[st.integers(0, 7)] * links))
    image.since = data.draw(st.tuples(*[st.integers(0, (1 << 32) - 1)] * links))
    read = latest_bytes.unpack(latest_bytes.pack(image))
    assert (read.front, tuple(read.states), tuple(read.since)) == (image.front, image.states, image.since)
    assert {code: group.rows() for code, group in read.groups.items()} == rows
    assert (read.rx_ms, read.direct, read.numbered, read.left_out) == (NOW, True, 4096, 65_535)
    assert latest_bytes.pack(read) == latest_bytes.pack(image)


@given(st.lists(st.lists(NUMBERS, min_size=3, max_size=3), min_size=1, max_size=30), st.binary(max_size=5))
def test_columns_come_back_as_they_went_in(columns: list[list[int]], before: bytes) -> None:
    packed = latest_columns.pack(columns)
    read, end = latest_columns.unpack(before + packed + b"after", len(before), 3)
    assert ([list(each) for each in read], end) == (columns, len(before) + len(packed))


def test_a_number_that_all_links_have_alike_is_kept_once_and_zero_not_at_all() -> None:
    assert len(latest_columns.pack([[300] * 50])) == 1 + 1 + 2
    assert len(latest_columns.pack([[0] * 50])) == 1 + 1


@given(st.binary(max_size=200), st.integers(0, 1000), st.integers(1, 255))
def test_bytes_that_are_no_state_are_an_error_and_nothing_else(noise: bytes, at: int, change: int) -> None:
    progress = Progress()
    enrich.advance(progress, [arrival(batch(readings=[echo(), interface("x")]))], Entry(), KEEP_MS)
    whole = bytearray(latest_bytes.pack(progress.image))
    whole[at % len(whole)] ^= change
    for data in (noise, b"\x03" + noise, bytes(whole), bytes(whole[:at])):
        item = {"gateway": {"S": "gw-1"}, "ver": {"S": progress.version}, "b": {"B": data}}
        try:
            latest.parse(item)
            # What can be read can be written, or a bit that fell over would stop its gateway for good.
            again = Progress(latest.image(item), progress.version)
            enrich.advance(again, [arrival(batch(sequence=9))], Entry(), KEEP_MS)
            item_of(again)
        except ContractError:
            continue


def test_a_series_of_an_older_version_reads_its_new_columns_as_null() -> None:
    image = latest_image.image({1: {"a.b": row(echo())._replace(content=row(echo()).content[:-1])}}, {})
    (series,) = latest.parse(latest.pack("gw-1", keys.version(NOW, EPOCH, 0), image, b"")).series
    assert (echo()["reply_ttl"], series.reading["reply_ttl"]) == (64, None)
    assert series.reading["rtt_p50_us"] == echo()["rtt_p50_us"]


def test_a_state_of_an_unknown_format_is_an_error_that_names_the_gateway() -> None:
    progress = Progress()
    enrich.advance(progress, [arrival(batch())], Entry(), KEEP_MS)
    item = item_of(progress)
    with pytest.raises(ContractError, match=r"gateway gw-1: its latest state has format 09"):
        latest.parse(item | {"b": {"B": b"\x09\x01"}})
    with pytest.raises(ContractError, match=r"gateway gw-1: its latest state is damaged"):
        latest.parse(item | {"b": {"B": item["b"]["B"][:-1]}})


def test_an_outcome_of_a_newer_version_is_an_error_that_names_the_link() -> None:
    image = latest_image.image({1: {"a.b": row(echo())._replace(outcome=len(Outcome))}}, {})
    with pytest.raises(ContractError, match=r"gateway gw-1: .*a\.b: .* is not a valid Outcome"):
        latest.parse(latest.pack("gw-1", keys.version(NOW, EPOCH, 0), image, b""))
