"""Whatever the process is doing when it is killed or the power goes: nothing is lost, nothing is doubled."""

from __future__ import annotations

import logging
import random

import pytest

from edge_agent.contract import Loss
from edge_agent.spool import MemoryDisk
from tests.edge_agent.spool_model import NOW_MS, Life, echo, spool_on


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
    for _ in range(3):
        life.fill(4_000)
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
    at = rng.randrange(len(disk.read(name, 0, 1 << 20).rstrip(b"\0")))
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
    used = len(disk.read(journal, 0, 1 << 20).rstrip(b"\0"))
    disk.write(journal, used, b"\xa7\x4c\x02\0\0\1\0half a frame")
    spool.close()
    again = spool_on(disk)
    stats = again.stats()
    assert (stats.torn_bytes, stats.damaged_bytes, stats.dropped, stats.accepted) == (19, 0, 0, 1)
    again.append([echo(1)])
    again.seal(NOW_MS)
    assert [each.count for each in again.pending(9)] == [2]
