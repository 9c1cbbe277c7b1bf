"""Whatever the process is doing when it is killed or the power goes: nothing is lost, nothing is doubled."""

from __future__ import annotations

import errno
import logging
import random

import pytest

from edge_agent.contract import Loss
from edge_agent.spool import MemoryDisk, SpoolError
from edge_agent.spool.disk import FILL
from tests.edge_agent.spool_model import NOW_MS, Cloud, Life, drain, echo, require_balance, spool_on


@pytest.mark.parametrize("seed", range(30))
def test_what_was_accepted_arrives_once_whenever_the_power_is_cut(seed: int) -> None:
    rng = random.Random(seed)
    life = Life(rng)
    for _ in range(rng.randint(1, 4)):
        for _ in range(rng.randint(0, 30)):
            life.act()
        life.cut(power=rng.random() < 0.6)
    life.finish()
    assert life.cloud.missing == []
    assert set(life.accepted) <= set(life.cloud.echoes)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("when_full", ["drop-oldest", "thin"])
def test_the_books_balance_when_a_full_spool_loses_its_power(seed: int, when_full: str) -> None:
    rng = random.Random(seed)
    life = Life(rng, max_bytes=144 << 10, when_full=when_full)
    for count in (8_000, 4_000, 4_000):  # at first more than it holds, of which nothing was sent
        life.fill(count)
        for _ in range(rng.randint(0, 10)):
            life.act()
        life.cut(power=rng.random() < 0.6)
    assert life.spool.stats().dropped_by[Loss.THINNED if when_full == "thin" else Loss.FULL] > 0
    life.finish(acks_were_lost=True)


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("damage", ["flip", "cut", "junk"])
def test_damage_costs_only_what_it_hit_and_all_of_it_is_told(seed: int, damage: str) -> None:
    logging.disable(logging.ERROR)
    rng = random.Random(seed)
    life = Life(rng)
    for _ in range(rng.randint(1, 40)):
        life.act()
    disk = life.disk = life.disk.after_kill()
    name = rng.choice([each for each in disk.names() if each != "reserve"])
    at = rng.randrange(len(disk.read(name, 0, 1 << 20).rstrip(FILL)))
    if damage == "flip":
        disk.damage(name, at, bytes([disk.read(name, at, 1)[0] ^ 1 << rng.randrange(8)]))
    elif damage == "junk":
        disk.damage(name, at, rng.randbytes(rng.randint(1, 600)))
    else:
        disk.truncate(name, at)
    life.spool = life.opened()
    life.finish(acks_were_lost=True)
    logging.disable(logging.NOTSET)
    lost = set(life.accepted) - set(life.cloud.echoes)
    assert len(lost) <= len(life.cloud.missing)
    if damage == "flip":
        assert len(life.cloud.missing) <= 240


def test_a_torn_tail_is_cut_and_counted() -> None:
    disk = MemoryDisk()
    spool = spool_on(disk)
    spool.append([echo(0)])
    (journal,) = [name for name in disk.names() if name.startswith("journal")]
    used = len(disk.read(journal, 0, 1 << 20).rstrip(FILL))
    disk.write(journal, used, b"\xa7\x4c\x02\0\0\1\0half a frame")
    spool.close()
    again = spool_on(disk)
    stats = again.stats()
    assert (stats.torn_bytes, stats.damaged_bytes, stats.dropped, stats.accepted) == (19, 0, 0, 1)
    again.append([echo(1)])
    again.seal(NOW_MS)
    assert [each.count for each in again.pending(9)] == [2]


def test_what_is_told_counts_although_an_old_file_cannot_be_removed() -> None:
    disk, broken = MemoryDisk(), {"write"}

    def fault(operation: str, name: str) -> None:
        if operation in broken:
            raise OSError(errno.ENOSPC, "No space left on device", name)

    spool, cloud = spool_on(disk), Cloud()
    spool.append([echo(number) for number in range(20)])
    spool.seal(NOW_MS)
    disk.fault = fault
    with pytest.raises(SpoolError):
        spool.append([echo(20)])  # nothing more goes into this file
    broken.clear()
    broken.add("remove")
    spool.lost(3, Loss.MEMORY)
    again = spool_on(disk.after_kill())
    for each in (spool, again):
        assert (each.stats().accepted, each.stats().dropped_by[Loss.MEMORY]) == (24, 3)
    drain(again, cloud)
    require_balance(again, cloud)


def test_a_file_that_may_have_got_its_name_voids_nothing_that_is_accepted_later() -> None:
    disk, broken = MemoryDisk(), set[str]()

    def fault(operation: str, name: str) -> None:
        if operation in broken:
            raise OSError(errno.ENOSPC, "No space left on device", name)

    disk.fault = fault
    spool, cloud = spool_on(disk), Cloud()
    spool.append([echo(number) for number in range(20)])
    broken |= {"sync_folder", "remove"}
    with pytest.raises(SpoolError):
        spool.append([echo(number, "x" * 40 + str(number)) for number in range(20, 1_020)])  # another file
    broken.clear()
    spool.append([echo(20)])
    spool = spool_on(disk.after_kill())
    drain(spool, cloud)
    assert cloud.echoes == list(range(21))
