"""A spool stays within its bound, and on a disk that others have filled; what it costs is told."""

from __future__ import annotations

import errno
from collections import Counter

import pytest

from edge_agent.contract import METERING_UNIT, Link, Loss, decode
from edge_agent.spool import MemoryDisk, Spool, SpoolError
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

BOUND = 256 << 10


def fill(spool: Spool, disk: MemoryDisk, count: int, start: int = 0, bound: int = BOUND) -> None:
    for number in range(start, start + count, 100):
        spool.append([echo(each, "south" if each % 3 else "north") for each in range(number, number + 100)])
        spool.seal(NOW_MS + number)
        assert sum(map(disk.size, disk.names())) <= bound
        assert spool.stats().bytes == sum(map(disk.size, disk.names()))


def test_a_full_spool_drops_the_oldest_and_tells_it_in_few_gaps() -> None:
    disk = MemoryDisk()
    spool = spool_on(disk, BOUND)
    fill(spool, disk, 30_000)
    stats = spool.stats()
    assert 0 < stats.dropped == stats.dropped_by[Loss.FULL] < 30_000
    cloud = Cloud()
    drain(spool, cloud)
    require_balance(spool, cloud)
    assert max(cloud.echoes) == 29_999
    assert cloud.missing == list(range(stats.dropped))
    assert len(cloud.gaps()) < 20, "the gaps that were dropped themselves are told again, joined"


def test_what_is_acknowledged_goes_first_and_is_no_loss() -> None:
    disk, cloud = MemoryDisk(), Cloud()
    spool = spool_on(disk, BOUND)
    for start in range(0, 30_000, 1_000):
        fill(spool, disk, 1_000, start)
        drain(spool, cloud)
    assert spool.stats().dropped == 0
    require_balance(spool, cloud)


def test_thinning_keeps_old_readings_of_every_series_coarser() -> None:
    disk, plain = MemoryDisk(), MemoryDisk()
    spool, other = spool_on(disk, BOUND, when_full="thin"), spool_on(plain, BOUND)
    fill(spool, disk, 30_000)
    fill(other, plain, 30_000)
    stats = spool.stats()
    assert stats.dropped_by[Loss.THINNED] > 0
    cloud, without = Cloud(), Cloud()
    drain(spool, cloud)
    drain(other, without)
    require_balance(spool, cloud)
    assert min(cloud.echoes) < min(without.echoes), "it reaches further back"
    series = Counter(each.link for each in cloud.readings if each.kind == "echo")
    assert series["north"] / series["south"] == pytest.approx(0.5, rel=0.05)
    first = next(each for each in sorted(cloud.batches) if each[1] >= min(cloud.numbers))
    assert decode(cloud.batches[first]).sealed_ms != NOW_MS


def test_what_may_have_been_sent_is_never_thinned() -> None:
    disk, cloud = MemoryDisk(), Cloud()
    spool = spool_on(disk, BOUND, when_full="thin")
    for start in range(0, 25_000, 500):
        fill(spool, disk, 500, start)
        batches = spool.pending(100, newest_first=True)
        spool.sending(batches)
        for each in batches:
            cloud.take(each.payload)
    assert spool.stats().dropped_by[Loss.THINNED] == 0 < spool.stats().dropped_by[Loss.FULL]
    drain(spool, cloud)  # insists on the same bytes
    require_balance(spool, cloud, acks_were_lost=True)


def test_definitions_that_were_dropped_are_sent_again() -> None:
    disk, cloud = MemoryDisk(), Cloud()
    spool = spool_on(disk, BOUND)
    fill(spool, disk, 30_000)
    drain(spool, cloud)
    assert LINKS in [batch.links for batch in cloud.decoded]


def test_readings_that_are_never_sealed_are_bounded_too() -> None:
    disk, cloud = MemoryDisk(), Cloud()
    spool = spool_on(disk, BOUND)
    for start in range(0, 20_000, 100):
        spool.append([echo(number) for number in range(start, start + 100)])
        assert sum(map(disk.size, disk.names())) <= BOUND
    assert spool.stats().dropped_by[Loss.FULL] > 0
    drain(spool, cloud)
    require_balance(spool, cloud)


def test_a_disk_that_others_have_filled_counts_as_full() -> None:
    disk, cloud = MemoryDisk(), Cloud()
    spool = spool_on(disk, 1 << 20)
    fill(spool, disk, 10_000, bound=1 << 20)
    disk.capacity = sum(map(disk.size, disk.names())) + 1000
    for start in range(10_000, 40_000, 100):
        spool.append([echo(number) for number in range(start, start + 100)])
        seal_all(spool)
    stats = spool.stats()
    assert 0 < stats.dropped < 35_000
    drain(spool, cloud)
    require_balance(spool, cloud)
    assert max(cloud.echoes) == 39_999


def test_a_disk_that_is_full_or_read_only_at_the_start_does_not_keep_it_from_opening() -> None:
    for number in (errno.ENOSPC, errno.EROFS):

        def fault(operation: str, name: str, number: int = number) -> None:
            raise OSError(number, "refused")

        disk = MemoryDisk(fault=fault)
        spool = spool_on(disk)
        with pytest.raises(SpoolError, match="refused"):
            spool.append([echo(0)])
        disk.fault = lambda operation, name: None
        spool.append([echo(0)])
        assert spool.stats().accepted == 1


@pytest.mark.parametrize("operation", ["write", "sync", "create"])
def test_a_write_that_fails_keeps_nothing_and_the_next_one_goes_on(operation: str) -> None:
    disk, cloud = MemoryDisk(), Cloud()
    spool = spool_on(disk)
    for turn in range(60):
        failing = turn % 3 == 1

        def fault(what: str, name: str, failing: bool = failing) -> None:
            if failing and what == operation:
                raise OSError(errno.EIO, "Input/output error")

        disk.fault = fault
        try:
            spool.append([echo(each) for each in range(turn * 100, turn * 100 + 100)])
            kept = True
        except SpoolError:
            kept = False
        try:
            spool.seal(NOW_MS)
        except SpoolError:
            assert failing
        disk.fault = lambda what, name: None
        if not kept:
            spool.append([echo(each) for each in range(turn * 100, turn * 100 + 100)])
    spool.close()
    spool = spool_on(disk.after_kill())
    drain(spool, cloud)
    require_balance(spool, cloud)
    assert cloud.echoes == list(range(6_000))


def test_the_index_of_a_months_batches_is_small() -> None:
    disk = MemoryDisk()
    spool = Spool(disk, "gw-1", [Link("north")], 64 << 20, 40)
    spool.append([echo(number) for number in range(600)])
    seal_all(spool)
    store = spool._store
    assert store is not None
    columns = ("firsts", "offsets", "counts", "lengths", "marks", "waits")
    each = sum(memoryview(getattr(store.segments.files[0], name)).itemsize for name in columns)
    assert each * 45_000 < 5_000_000


def test_a_batch_and_its_topic_fit_the_metering_unit() -> None:
    spool = Spool(MemoryDisk(), "gw-1", LINKS, 1 << 20, 200, batch_readings=2000)
    spool.append([echo(number) for number in range(1000)])
    seal_all(spool)
    sizes = [len(each.payload) for each in spool.pending(1000)]
    assert max(sizes) + 200 <= METERING_UNIT
    assert sum(each.count for each in spool.pending(1000)) == 1000
