"""What goes into the spool comes out, once, in order, sealed once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.contract import ContractError, Loss, Reading, decode, row
from edge_agent.spool import FolderDisk, MemoryDisk, Spool, new_epoch
from edge_agent.taken import Taken
from tests.edge_agent.spool_model import (
    LINKS,
    NOW_MS,
    Cloud,
    drain,
    echo,
    require_balance,
    seal_all,
    spool_on,
)


@pytest.fixture(params=["folder", "memory"])
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Spool]:
    spool = spool_on(FolderDisk(tmp_path / "spool") if request.param == "folder" else MemoryDisk())
    yield spool
    spool.close()


def readings(spool: Spool) -> list[Reading]:
    return [reading for each in spool.pending(10_000) for reading in decode(each.payload).readings]


def state(number: int) -> Taken:
    return Taken(Reading("north", "state", 1_790_000_000_000 + number, row("state", up=0, was_up=1)))


def test_readings_come_out_as_they_went_in_and_in_order(spool: Spool) -> None:
    given = [echo(number, "south" if number % 3 else "north") for number in range(150)]
    for start in range(0, 150, 7):
        spool.append(given[start : start + 7])
    spool.seal(NOW_MS)
    assert readings(spool) == [each.reading for each in given]
    assert [(each.first_sequence, each.count) for each in spool.pending(9)] == [(0, 60), (60, 60), (120, 30)]
    assert [each.last_ms for each in spool.pending(1)] == [1_790_000_000_059]


def test_a_sealed_batch_never_changes(spool: Spool) -> None:
    spool.append([echo(number) for number in range(5)])
    spool.seal(NOW_MS)
    before = spool.pending(10)
    spool.append([echo(5)])
    spool.seal(NOW_MS + 1)
    assert spool.pending(1) == before


def test_an_acknowledged_batch_stays_and_is_sent_again_when_it_is_asked_for(spool: Spool) -> None:
    spool.append([echo(number) for number in range(130)])
    spool.seal(NOW_MS)
    before = spool.pending(10)
    for first in (60, 60, 12_345):
        spool.ack(first)
    assert [each.first_sequence for each in spool.pending(10)] == [0, 120]
    stats = spool.stats()
    assert (stats.accepted, stats.acked, stats.dropped, stats.held) == (130, 60, 0, 70)
    assert spool.resend(stats.epoch + 1, 0, 1000) == 0
    assert spool.resend(stats.epoch, 61, 119) == 60
    assert spool.pending(10) == [before[1], before[0], before[2]], "what is asked for goes first"
    assert (spool.stats().acked, spool.stats().held) == (0, 130)


def test_a_batch_that_says_a_link_changed_goes_before_all_others(spool: Spool) -> None:
    spool.append([echo(number) for number in range(120)])
    spool.seal(NOW_MS)
    spool.append([state(120)])
    spool.seal(NOW_MS)
    assert [(each.first_sequence, each.urgent) for each in spool.pending(10)] == [
        (120, True),
        (0, False),
        (60, False),
    ]
    assert [each.first_sequence for each in spool.pending(10, newest_first=True)] == [120, 60, 0]


def test_a_reading_whose_time_is_not_settled_holds_itself_and_what_follows(spool: Spool) -> None:
    spool.append([echo(0), echo(1, boot="b1"), echo(2)])
    assert spool.seal(NOW_MS, lambda taken: None if taken.boot else taken.reading) == 1
    assert (readings(spool), spool.stats().unsealed) == ([echo(0).reading], 2)

    def settle(taken: Taken) -> Reading:
        moved = taken.reading.at_ms + (5 if taken.boot == "b1" and taken.since_boot_ms == 1 else 0)
        return replace(taken.reading, at_ms=moved)

    spool.seal(NOW_MS, settle)
    assert [each.at_ms % 1000 for each in readings(spool)] == [0, 6, 2]


def test_an_impossible_reading_is_refused_and_nothing_of_its_group_is_kept(spool: Spool) -> None:
    bad = replace(echo(1).reading, values=(-1, *echo(1).reading.values[1:]))
    with pytest.raises(ContractError):
        spool.append([echo(0), Taken(bad)])
    assert spool.stats().accepted == 0


def test_while_nothing_can_be_sent_only_full_and_larger_batches_are_sealed(spool: Spool) -> None:
    spool.append([echo(number) for number in range(500)])
    assert spool.seal(NOW_MS, full_only=True) == 2
    assert spool.stats().unsealed == 20
    spool.seal(NOW_MS)
    assert [each.count for each in spool.pending(9)] == [240, 240, 20]


def test_one_call_seals_a_bounded_number_of_batches(spool: Spool) -> None:
    spool.append([echo(number) for number in range(60 * 70)])
    assert (spool.seal(NOW_MS), spool.seal(NOW_MS), spool.seal(NOW_MS)) == (64, 6, 0)


def test_the_first_batch_of_each_process_carries_the_link_definitions() -> None:
    disk = MemoryDisk()
    for life in range(2):
        spool = spool_on(disk)
        for number in range(2):
            spool.append([echo(life * 2 + number)])
            spool.seal(NOW_MS)
        spool.close()
    batches = [decode(each.payload) for each in spool_on(disk).pending(9)]
    assert [batch.links for batch in batches] == [LINKS, (), LINKS, ()]


def test_everything_survives_a_restart() -> None:
    disk = MemoryDisk()
    spool = spool_on(disk)
    spool.append([echo(number) for number in range(150)])
    spool.seal(NOW_MS)
    spool.ack(0)
    spool.append([echo(number, boot="b") for number in range(150, 170)])
    spool.lost(3, Loss.MEMORY)
    before, pending = spool.stats(), spool.pending(9)
    spool.close()
    again = spool_on(disk)
    assert again.stats() == before
    assert again.pending(9) == pending
    assert again.latest_ms() == 1_790_000_000_149, "times of an unsynchronised clock are no floor"
    again.close()


def test_the_newest_time_advances_where_no_clock_was_ever_synchronised(spool: Spool) -> None:
    for number in (10, 20):
        spool.append([echo(number, boot="b")])
        assert spool.latest_ms() < 1_790_000_000_000 + number, "its time is not settled yet"
        spool.seal(NOW_MS)
        assert spool.latest_ms() == 1_790_000_000_000 + number


def test_a_time_far_ahead_is_forgotten_with_the_next_batch() -> None:
    disk = MemoryDisk()
    spool = spool_on(disk)
    for number in (0, 10_000_000_000, 1):
        spool.append([echo(number)])
        spool.seal(NOW_MS)
    assert spool.latest_ms() == 1_790_000_000_001
    spool.close()
    assert spool_on(disk).latest_ms() == 1_790_000_000_001


def test_readings_that_never_got_a_number_are_told_once(spool: Spool) -> None:
    spool.append([echo(0)])
    spool.lost(7, Loss.MEMORY)
    cloud = Cloud()
    drain(spool, cloud)
    (gap,) = [each for each in cloud.readings if each.kind == "gap"]
    assert (gap.link, gap["reason"], gap["count"], gap["first_sequence"]) == ("host", Loss.MEMORY, 7, None)
    require_balance(spool, cloud)


def test_a_refused_batch_is_out_of_the_way_and_told_as_a_gap(spool: Spool) -> None:
    spool.append([echo(number) for number in range(120)])
    spool.seal(NOW_MS)
    spool.refuse(0)
    assert [each.first_sequence for each in spool.pending(9)] == [60]
    cloud = Cloud()
    drain(spool, cloud)
    assert cloud.gaps() == [(Loss.REFUSED, 0, 60)]
    require_balance(spool, cloud)


def test_a_foreign_gateways_spool_is_set_aside() -> None:
    disk = MemoryDisk()
    spool = spool_on(disk)
    spool.append([echo(0)])
    seal_all(spool)
    spool.close()
    other = Spool(disk, "gw-2", LINKS, 1 << 20, 40)
    assert other.stats().held == 0
    other.append([echo(1)])
    seal_all(other)
    assert [decode(each.payload).gateway for each in other.pending(9)] == ["gw-2"]
    assert len([name for name in disk.names() if name.startswith("aside-")]) == 2


def test_epochs_differ_even_when_the_clock_stands_still() -> None:
    assert new_epoch(1_790_000_000, lambda bits: (1 << bits) - 1) == (1_790_000_000 << 32) + 0xFFFF_FFFF
    assert new_epoch(0) != new_epoch(0)
    assert new_epoch(2**40) < 1 << 63
