"""The end of the agent comes in time, whatever hangs; its parts live and die together."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_agent.contract import Reading
from edge_agent.farewell import Farewell
from edge_agent.reception import Reception
from edge_agent.status import read
from edge_agent.taken import Taken
from edge_agent.together import attended
from tests.edge_agent.running import Start, recorded

Echo = Callable[..., Reading]


@pytest.mark.parametrize(("is_all_kept", "status"), [(True, 0), (False, 1)])
def test_a_process_that_cannot_end_is_ended_and_says_whether_all_was_kept(
    is_all_kept: bool, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    left, ended = [], threading.Event()

    def leave(code: int) -> None:
        left.append(code)
        ended.set()

    farewell = Farewell(0.01, leave)
    farewell.is_all_kept = is_all_kept
    for _ in range(3):
        farewell.begin()
    assert ended.wait(20)
    assert left == [status]
    assert "ended by force" in caplog.text


def test_a_broker_that_falls_silent_does_not_hold_up_the_end(
    start: Start, broker: Any, observer: Any, config_file: Any, tmp_path: Path, eventually: Any
) -> None:
    record = tmp_path / "record.jsonl"
    agent = start(config_file(broker.port), record)
    observer.wait_for(1)
    broker.freeze()
    before = len(recorded(record))
    try:
        # What was committed before may all have been acknowledged: then there would be nothing to wait for.
        eventually(lambda: len(recorded(record)) > before)
        assert agent.end() == 0
    finally:
        broker.thaw()
    assert "what has not arrived stays in the spool" in agent.log
    assert "ended by force" not in agent.log


def test_signals_that_come_before_the_agent_listens_do_not_end_it(
    start: Start, broker: Any, observer: Any, config_file: Any, tmp_path: Path
) -> None:
    """systemd takes an end by SIGHUP for one that was wanted, and starts nothing anew."""
    early = tmp_path / "early"
    early.mkdir()
    (early / "sitecustomize.py").write_text(
        """
import os, signal, sys

class Early:
    def find_spec(self, name, path, target=None):
        if name == "edge_agent.life":
            for each in (signal.SIGHUP, signal.SIGUSR1):
                os.kill(os.getpid(), each)

sys.meta_path.insert(0, Early())
"""
    )
    paths = os.pathsep.join([str(early), *sys.path])
    agent = start(config_file(broker.port), PYTHONPATH=paths)
    observer.wait_for(1)
    assert agent.end() == 0


def test_the_status_is_there_soon_and_at_the_end_says_that_it_is_the_last(
    start: Start, broker: Any, observer: Any, config_file: Any, tmp_path: Path, eventually: Any
) -> None:
    agent = start(config_file(broker.port))
    path = tmp_path / "spool.status.json"
    eventually(path.exists)
    status = read(path)
    assert (status.pid, status.gateway, status.is_stopped) == (agent.process.pid, "gw-1", False)
    observer.wait_for(1)
    assert agent.end(signal.SIGINT) == 0
    last = read(path)
    assert (last.is_stopped, last.spool.waiting, last.spool.in_memory) == (True, 0, 0)
    assert last.spool.accepted == last.spool.acked > 0
    assert {each.reading.link for each in last.seen} == {"north"}


# --- readings that nobody takes yet ---------------------------------------------------------------


class Taker:
    """Something that takes readings."""

    def __init__(self) -> None:
        self.taken: list[Taken] = []

    def add(self, taken: Taken) -> None:
        self.taken.append(taken)


def test_what_comes_before_the_spool_is_open_is_handed_over_in_order(echo: Echo) -> None:
    readings = [Taken(echo(number)) for number in range(6)]
    reception, taker = Reception(readings[:2]), Taker()
    for each in readings[2:4]:
        reception.add(each)
    assert (reception.waiting, taker.taken) == (4, [])
    reception.open(taker)
    for each in readings[4:]:
        reception.add(each)
    assert (reception.waiting, taker.taken) == (0, readings)


def test_memory_is_bounded_and_what_it_had_no_room_for_is_counted(echo: Echo) -> None:
    reception = Reception(max_waiting=3)
    for number in range(8):
        reception.add(Taken(echo(number)))
    assert (reception.waiting, reception.lost) == (3, 5)
    assert [each.reading for each in reception.drain()] == [echo(5), echo(6), echo(7)]
    assert reception.waiting == 0


# --- together -------------------------------------------------------------------------------------


def test_workers_end_with_the_one_they_attend_and_its_result_is_handed_on() -> None:
    ended = []

    async def worker() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    async def leader() -> int:
        await asyncio.sleep(0)
        return 7

    assert asyncio.run(attended(leader(), [worker(), worker()])) == 7
    assert len(ended) == 2


def test_a_worker_that_fails_ends_all_with_its_own_failure() -> None:
    async def worker() -> None:
        raise OSError("broken")

    async def work() -> None:
        await attended(asyncio.Event().wait(), [worker()])

    with pytest.raises(OSError, match="broken"):
        asyncio.run(work())
