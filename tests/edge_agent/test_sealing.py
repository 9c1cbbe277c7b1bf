"""Sealing: a gateway of thousands of links, of which a batch can name 255."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from edge_agent.contract import METERING_UNIT, Batch, ContractError, Link, Reading, decode
from edge_agent.sealing import (
    LINKS_DEFINED,
    LINKS_READ,
    SERIES_READ,
    Numbered,
    from_row,
    leading_group,
    pack,
    to_row,
)
from edge_agent.spool import MemoryDisk, Spool
from edge_agent.taken import Taken

Echo = Callable[..., Reading]
NOW_MS = 1_790_000_500_000


def test_5000_links_go_out_in_batches_that_each_can_hold(echo: Echo) -> None:
    links = [Link(f"link-{number}", peer=f"peer-{number}") for number in range(5_000)]
    spool = Spool(MemoryDisk(), "gw-1", links, 64 << 20, 40, batch_readings=500)
    given = [echo(number % 600, link=links[number % 5_000].id) for number in range(10_000)]
    spool.append([Taken(reading) for reading in given])
    while spool.seal(NOW_MS):
        pass
    sealed = spool.pending(10_000)
    batches = [decode(each.payload) for each in sealed]
    assert [reading for batch in batches for reading in batch.readings] == given
    assert [link for batch in batches for link in batch.links] == links[: len(links)]
    assert max(len(each.payload) for each in sealed) <= METERING_UNIT - 40
    spool.close()


def numbered(readings: list[Reading]) -> list[Numbered]:
    return list(enumerate(readings))


def test_a_batch_ends_before_the_link_that_would_be_too_many(echo: Echo) -> None:
    readings = numbered([echo(0, link=f"l{number}") for number in range(LINKS_READ + 1)])
    assert leading_group(readings) == readings[:-1]
    again = numbered([echo(0, link=f"l{number % LINKS_READ}") for number in range(500)])
    assert leading_group(again) == again


@pytest.mark.parametrize("count", [LINKS_READ, LINKS_READ - 1])
def test_the_fullest_batch_can_be_written_and_read(echo: Echo, count: int) -> None:
    """With as many definitions, none of a link that has readings."""
    kinds = [("echo", 15), ("connect", 8), ("dns", 9)]
    readings = [
        Reading(f"l{number}", kind, NOW_MS, (None,) * width)
        for number in range(count)
        for kind, width in kinds
    ]
    group = tuple(reading for _, reading in leading_group(numbered(readings)))
    assert len(group) == SERIES_READ
    defined = tuple(Link(f"d{number}") for number in range(LINKS_DEFINED))
    batch = Batch("gw-1", 1, 0, NOW_MS, group, defined)
    assert [decode(payload) for _, payload in pack(batch, 1 << 16)] == [batch]


def test_one_reading_that_does_not_fit_is_an_error_not_a_loop(echo: Echo) -> None:
    with pytest.raises(ContractError, match="does not fit 20 B"):
        pack(Batch("gw-1", 1, 0, NOW_MS, (echo(0), echo(1))), 20)


def test_a_group_stops_at_a_gap_and_after_an_hour(echo: Echo) -> None:
    assert leading_group([(4, echo(0)), (5, echo(1)), (7, echo(2))]) == [(4, echo(0)), (5, echo(1))]
    late = echo(1, at_ms=echo(0).at_ms + 3_600_001)
    assert leading_group([(0, echo(0)), (1, late)]) == [(0, echo(0))]
    assert leading_group([]) == []


def test_a_row_of_an_older_or_newer_agent_is_read(echo: Echo) -> None:
    reading = echo(3)
    row = json.loads(to_row(reading))
    older = from_row(json.dumps(row[:-1]).encode()).reading
    assert older == replace(reading, values=(*reading.values[:-1], None))
    assert from_row(json.dumps([*row, 99]).encode()).reading == reading


def test_a_row_keeps_when_it_was_taken_by_a_clock_nobody_believes(echo: Echo) -> None:
    taken = Taken(echo(3), "boot-1", 12_345)
    assert from_row(to_row(taken)) == taken


@pytest.mark.parametrize(
    "row",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'["a"]',
        b'["l","echo","x",0,0]',
        b"7",
        b"null",
        b'["l","echo",1,0,0,5.5]',
        b'[7,1,["l","echo",1,0,0]]',
        b'["b","x",["l","echo",1,0,0]]',
        b'["b",1,[]]',
    ],
)
def test_a_damaged_row_is_a_contract_error(row: bytes) -> None:
    with pytest.raises(ContractError):
        from_row(row)
