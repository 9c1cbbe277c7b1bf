"""Between the probes and the spool: nothing is forgotten while the disk fails, and what was is told."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.contract import Loss
from edge_agent.intake import Intake, Recorder
from edge_agent.spool import MemoryDisk
from edge_agent.taken import Taken
from tests.edge_agent.spool_model import Cloud, drain, echo, require_balance, spool_on


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1, "spool") as executor:
        yield executor


def test_what_memory_had_no_room_for_is_told_as_a_gap(executor: ThreadPoolExecutor) -> None:
    def fault(operation: str, name: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    disk, cloud = MemoryDisk(), Cloud()
    spool = spool_on(disk)

    async def scenario() -> None:
        intake = Intake(spool, 10, executor, max_waiting=5)
        disk.fault = fault
        for number in range(8):
            intake.add(echo(number))
        assert not await intake.commit()
        assert (intake.waiting, intake.lost) == (5, 3)
        disk.fault = lambda operation, name: None
        assert await intake.commit()
        assert await intake.commit()

    asyncio.run(scenario())
    assert spool.stats().dropped_by[Loss.MEMORY] == 3
    drain(spool, cloud)
    require_balance(spool, cloud)
    assert cloud.echoes == [3, 4, 5, 6, 7]


def test_an_impossible_reading_costs_itself_only_and_is_told(executor: ThreadPoolExecutor) -> None:
    spool, cloud = spool_on(MemoryDisk()), Cloud()
    bad = Taken(replace(echo(2).reading, values=(-1, *echo(2).reading.values[1:])))

    async def scenario() -> None:
        intake = Intake(spool, 10, executor)
        for each in (echo(0), echo(1), bad, echo(3)):
            intake.add(each)
        assert await intake.commit()

    asyncio.run(scenario())
    assert spool.stats().dropped_by[Loss.IMPOSSIBLE] == 1
    drain(spool, cloud)
    assert cloud.echoes == [0, 1, 3]
    require_balance(spool, cloud)


def test_a_record_on_a_full_disk_does_not_get_in_the_way_of_the_end() -> None:
    recorder = Recorder(Path("/dev/full"), "gw-1")
    with pytest.raises(OSError, match="No space left"):
        recorder.write([echo(1).reading])
    recorder.close()
