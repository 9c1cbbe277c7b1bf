"""A sealed batch by columns says what its readings say, one by one."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import pytest
from hypothesis import given

from edge_agent.contract import Batch, Flag, Reading, Sealed, encode, encode_json, unseal
from edge_agent.contract.pack import ENVELOPE
from tests.edge_agent.contract_batches import batches

NOW = 1_795_300_000_000


def reading(link: str = "a.b", at_ms: int = NOW) -> Reading:
    values = (5, 5, 0, 0, 0, 0, 11_500, 12_000, None, 12_900, 12_050, 300, 200, 0, 64)
    return Reading(link, "echo", at_ms, values, Flag.CLOCK_SYNCED)


def opened(*readings: Reading) -> Sealed:
    return unseal(encode(Batch("gw-1", 1, 0, NOW, readings)))


@pytest.mark.parametrize("pack", [encode, encode_json])
@given(batch=batches())
def test_each_series_reading_column_and_time_is_that_of_the_batch(
    pack: Callable[[Batch], bytes], batch: Batch
) -> None:
    given = unseal(pack(batch))
    assert len(given) == len(batch.readings)
    assert list(given.times) == [each.at_ms for each in batch.readings]
    assert (given.first_ms, given.last_ms) == (batch.first_ms, batch.last_ms)
    seen: list[int] = []
    for series in given.series:
        table = given.tables[series.kind.code]
        for position in series.positions:
            assert given.reading(series, position) == batch.readings[position]
            row = given.rows[position]
            assert tuple(
                table.column(index)[row] for index in range(len(series.kind.columns))
            ) == table.stored(row)
            assert given.stored(series.kind, position) == table.stored(row)
        newest = max(series.positions, key=lambda position: (batch.readings[position].at_ms, position))
        assert given.newest(series.positions) == newest
        seen += series.positions
    assert sorted(seen) == list(range(len(batch.readings)))
    assert given.batch == batch


def test_each_series_is_there_once_in_the_order_of_the_wire() -> None:
    given = opened(reading("a.c"), reading("a.b"), reading("a.c", NOW + 1))
    assert [(each.kind.name, each.link, list(each.positions)) for each in given.series] == [
        ("echo", "a.c", [0, 2]),
        ("echo", "a.b", [1]),
    ]


def test_a_series_that_the_wire_names_twice_is_one() -> None:
    body = bytearray(
        zlib.decompress(encode(Batch("gw-1", 1, 0, NOW, (reading("a.b"), reading("a.c"))))[5:], -15)
    )
    place = body.index(bytes((2, 1, 0, 1, 1)))  # two series: kind 1 on link 0, kind 1 on link 1
    body[place + 4] = 0
    deflate = zlib.compressobj(wbits=-15)
    payload = ENVELOPE.pack(1, zlib.crc32(body)) + deflate.compress(bytes(body)) + deflate.flush()
    (series,) = unseal(payload).series
    assert (series.link, list(series.positions)) == ("a.b", [0, 1])
    assert unseal(payload).batch.readings == (reading("a.b"), reading("a.b"))


def test_times_that_step_back_are_not_said_to_ascend() -> None:
    given = opened(reading(at_ms=NOW), reading(at_ms=NOW - 5))
    assert not given.ordered
    assert (given.first_ms, given.last_ms, given.newest((0, 1))) == (NOW - 5, NOW, 0)


def test_two_gateways_with_the_same_links_are_not_taken_for_each_other() -> None:
    payloads = [encode(Batch(name, 1, 0, NOW, (reading(),))) for name in ("gw-1", "gw-2")]
    assert [unseal(each).gateway for each in payloads] == ["gw-1", "gw-2"]
    assert [unseal(each).batch.gateway for each in payloads] == ["gw-1", "gw-2"]
