"""A damaged medium: what each kind of damage costs, and that the spool goes on whatever it is."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.contract import Loss
from edge_agent.spool import MemoryDisk, Spool, SpoolError
from edge_agent.spool.disk import FILL
from edge_agent.spool.files import MOST_TRIES
from edge_agent.spool.frame import MAGIC, OVERHEAD, SECTOR, encode_frame
from edge_agent.spool.layout import PAGE
from edge_agent.spool.salvage import NOISE, salvage
from tests.edge_agent.spool_model import Cloud, echo, seal_all, spool_on


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Damage is said on stderr, which these tests make a lot of."""
    logging.disable(logging.ERROR)
    yield
    logging.disable(logging.NOTSET)


class BadSector(MemoryDisk):
    """A disk of which one sector cannot be read."""

    def __init__(self, name: str, sector: int) -> None:
        super().__init__()
        self.bad, self.failures = (name, sector), 0

    def read(self, name: str, offset: int, size: int) -> bytes:
        first, last = offset // SECTOR, (offset + size - 1) // SECTOR
        if name == self.bad[0] and first <= self.bad[1] <= last:
            self.failures += 1
            raise OSError(errno.EIO, "Input/output error", name)
        return super().read(name, offset, size)


class DeadDisk(MemoryDisk):
    """A disk of which for some time nothing can be read."""

    is_dead = False

    def read(self, name: str, offset: int, size: int) -> bytes:
        if self.is_dead:
            raise OSError(errno.EIO, "Input/output error", name)
        return super().read(name, offset, size)


def drain(spool: Spool, cloud: Cloud) -> int:
    """Deliver all there is; how many deliveries that took."""
    seal_all(spool)
    count = 0
    while batches := spool.pending(8):
        spool.sending(batches)
        for batch in batches:
            cloud.take(batch.payload)
            spool.ack(batch.first_sequence)
            count += 1
        assert count < 10_000, "what is acknowledged is given out again"
    return count


def test_a_sector_that_cannot_be_read_is_noise_and_all_around_it_is_read() -> None:
    disk = BadSector("a", 3)
    disk.create("a")
    disk.write("a", 0, b"x" * 5_000)
    found = salvage(disk, "a")
    assert found is not None
    assert found.data == b"x" * 3 * SECTOR + NOISE * SECTOR + b"x" * (5_000 - 4 * SECTOR)


def test_a_disk_of_which_nothing_can_be_read_is_an_error_and_no_damage() -> None:
    disk = DeadDisk()
    spool = spool_on(disk)
    spool.append([echo(0)])
    spool.close()
    before, disk.is_dead = disk.names(), True
    spool = spool_on(disk)
    with pytest.raises(SpoolError):
        spool.stats()
    assert disk.names() == before
    disk.is_dead = False
    assert (spool.stats().accepted, spool.stats().held) == (1, 1)


@pytest.mark.parametrize("sort", ["journal", "batches", "marks"])
def test_a_spool_opens_around_a_sector_that_cannot_be_read(sort: str) -> None:
    disk = BadSector("", 0)
    spool, cloud = spool_on(disk), Cloud()
    for number in range(0, 200, 20):
        spool.append([echo(each) for each in range(number, number + 20)])
        if number < 120:
            seal_all(spool)
    spool.close()
    disk.bad = next(name for name in disk.names() if name.startswith(sort)), 1
    spool = spool_on(disk)
    drain(spool, cloud)
    stats = spool.stats()
    assert disk.failures and stats.held == 0
    assert stats.accepted == stats.acked + stats.dropped
    assert len(set(cloud.echoes)) + stats.dropped_by[Loss.DAMAGED] >= 200


@pytest.mark.parametrize("sort", ["journal", "batches"])
def test_a_sector_that_fails_while_it_runs_is_waited_for_and_given_up_in_the_end(sort: str) -> None:
    """One bad sector must not hold up all that comes after it, and a bad hour must cost nothing."""
    disk = BadSector("", 0)
    spool, cloud = spool_on(disk), Cloud()
    spool.append([echo(number) for number in range(200)])
    if sort == "batches":
        seal_all(spool)
    disk.bad = next(name for name in disk.names() if name.startswith(sort)), 1
    for _ in range(MOST_TRIES - 1):
        with pytest.raises(SpoolError):
            drain(spool, cloud)
    assert spool.stats().dropped == 0
    for _ in range(3 * MOST_TRIES):  # a sector may have to do with several records
        with suppress(SpoolError):
            drain(spool, cloud)
    stats = spool.stats()
    assert stats.held == 0
    assert stats.accepted == stats.acked + stats.dropped
    assert 0 < stats.dropped == stats.dropped_by[Loss.DAMAGED] < 200
    assert len(set(cloud.echoes)) + stats.dropped == 200


def test_a_record_of_which_only_the_end_cannot_be_read_is_not_believed() -> None:
    """It looks whole at the start, and could not be read again when it is wanted."""
    disk = BadSector("a", 1)
    disk.create("a", PAGE)
    disk.write("a", 0, encode_frame(3, bytes(SECTOR - OVERHEAD + 4)) + encode_frame(3, b"next"))
    found = salvage(disk, "a")
    assert found is not None
    assert (found.frames, found.scan.damaged[0][0]) == ([], 0)


def test_a_damaged_file_keeps_its_place_and_gives_nothing_out_twice() -> None:
    """Holes that never were written are no damage; their places are not those of batches."""
    disk = MemoryDisk()
    spool, cloud = spool_on(disk), Cloud()
    for number in range(0, 3_000, 60):
        spool.append([echo(each) for each in range(number, number + 60)])
        seal_all(spool)
    spool.close()
    first, *_ = sorted(name for name in disk.names() if name.startswith("batches"))
    disk.damage(first, 8 * SECTOR, bytes(2 * SECTOR))
    spool = spool_on(disk)
    assert drain(spool, cloud) >= 40
    assert spool.stats().held == 0


def test_a_file_that_was_cut_makes_the_numbers_go_on_in_another_epoch() -> None:
    disk = MemoryDisk()
    spool, cloud = spool_on(disk), Cloud()
    spool.append([echo(number) for number in range(100)])
    drain(spool, cloud)
    before = spool.stats().epoch
    spool.close()
    for name in disk.names():
        if not name.startswith("reserve"):
            written = len(disk.read(name, 0, 1 << 21).rstrip(FILL))
            disk.truncate(name, written * 2 // 3)
    spool = spool_on(disk)
    spool.append([echo(number) for number in range(1_000, 1_100)])
    drain(spool, cloud)  # the cloud insists that the same key has the same bytes
    assert spool.stats().epoch != before
    assert {1_790_000_000_000 + number for number in range(1_000, 1_100)} <= {
        each.at_ms for each in cloud.readings
    }


@pytest.mark.parametrize(("size", "is_cut"), [(2 * PAGE, False), (PAGE + 1, True), (PAGE, True), (0, True)])
def test_a_file_that_is_no_whole_pages_or_ends_within_a_frame_was_cut(size: int, is_cut: bool) -> None:
    disk = MemoryDisk()
    disk.create("a", 2 * PAGE)
    disk.write("a", 0, encode_frame(3, bytes(PAGE - 30)) + encode_frame(3, bytes(90)))
    disk.truncate("a", size)
    found = salvage(disk, "a")
    assert found is not None
    assert found.is_cut is is_cut


@settings(max_examples=60)
@given(st.data())
def test_whatever_lies_in_its_folder_a_spool_opens_and_takes_readings(data: st.DataObject) -> None:
    disk = MemoryDisk()
    spool, cloud = spool_on(disk), Cloud()
    for number in range(0, 120, 30):
        spool.append([echo(each) for each in range(number, number + 30)])
    spool.seal(1_790_000_500_000)
    spool.close()
    names = [name for name in disk.names() if name != "reserve"]
    junk = st.one_of(st.binary(max_size=700), st.just(MAGIC * 40), st.just(bytes(SECTOR)))
    for name in data.draw(st.lists(st.sampled_from(names), max_size=4)):
        disk.damage(name, data.draw(st.integers(0, 6_000)), data.draw(junk))
    spool = spool_on(disk)
    spool.append([echo(9_999)])
    drain(spool, cloud)
    stats = spool.stats()
    assert (stats.held, stats.accepted) == (0, stats.acked + stats.dropped)
    assert 1_790_000_009_999 in {each.at_ms for each in cloud.readings}
