"""Sealing: a gateway of thousands of links, of which a batch can name 255."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edge_agent.contract import METERING_UNIT, Batch, Link, Reading, decode
from edge_agent.sealing import LINKS_DEFINED, LINKS_READ, SERIES_READ, Numbered, leading_group, pack
from edge_agent.spool import MEMORY, Spool

Echo = Callable[..., Reading]
NOW_MS = 1_790_000_500_000


def test_5000_links_go_out_in_batches_that_each_can_hold(echo: Echo) -> None:
    links = [Link(f"link-{number}", peer=f"peer-{number}") for number in range(5_000)]
    spool = Spool(MEMORY, "gw-1", links, 64 << 20, 40, batch_readings=500)
    given = [echo(number % 600, link=links[number % 5_000].id) for number in range(10_000)]
    spool.append(given)
    spool.seal(NOW_MS)
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
