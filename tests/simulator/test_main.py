"""The run as a whole: a signal ends it in order, and success means that all was acknowledged."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from edge_agent.contract import Reading
from simulator.__main__ import _Once, deliver, main, verdict
from simulator.fleet import Fleet, RealClock
from simulator.progress import Reporter, Snapshot
from simulator.rounds import Plan
from simulator.target import SimulatorError
from simulator.world import Gateway, build


class SlowSink:
    """Acknowledges only when it is asked to finish; notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.accepted = 0
        self.acknowledged = 0
        self.connected = 0

    async def open(self) -> None:
        self.asked.append("open")

    def accept(self, gateway: Gateway, readings: Sequence[Reading]) -> None:
        self.accepted += len(readings)

    async def flush(self) -> None: ...

    async def finish(self, within_s: float) -> None:
        self.asked.append("finish")
        self.acknowledged = self.accepted

    async def close(self) -> None:
        self.asked.append("close")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_rounds_delivers_the_rest_and_closes(number: int, tmp_path: Path) -> None:
    sink = SlowSink()
    fleet = Fleet(build(1, 3, 2), Plan(100, None, 1000), sink, RealClock())
    status = tmp_path / "fleet.json"

    async def run() -> Snapshot:
        asyncio.get_running_loop().call_later(0.3, os.kill, os.getpid(), number)
        async with asyncio.timeout(30):
            return await deliver(fleet, sink, Reporter(Console(file=io.StringIO()), status, None), 3)

    last = asyncio.run(run())
    assert sink.asked == ["open", "finish", "close"]
    assert 0 < last.accepted == last.acknowledged
    assert json.loads(status.read_text())["acknowledged"] == last.acknowledged


class BrokenSink(SlowSink):
    """Fails at its first flush."""

    async def flush(self) -> None:
        raise SimulatorError("the stream is gone")


def test_a_failure_on_the_way_closes_the_sink_and_is_told() -> None:
    sink = BrokenSink()
    fleet = Fleet(build(1, 3, 2), Plan(100, 5000, 50), sink, RealClock())
    with pytest.raises(SimulatorError, match="the stream is gone"):
        asyncio.run(deliver(fleet, sink, Reporter(Console(file=io.StringIO()), None, None), 3))
    assert sink.asked == ["open", "close"]


def test_success_means_that_all_accepted_readings_were_acknowledged() -> None:
    assert verdict(Snapshot(10, 10, 10, 1, 1)) == 0
    with pytest.raises(SimulatorError, match=r"^3 readings were accepted and have not been acknowledged$"):
        verdict(Snapshot(10, 10, 7, 1, 1))


def test_no_local_cloud_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["run", "--local", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert said.err == f"fleet-simulator: no local cloud in {tmp_path}: start one with `local-cloud up`\n"
    assert said.out == ""


def test_a_message_of_all_gateways_is_told_once() -> None:
    once = _Once()
    records = [logging.makeLogRecord({"msg": "%s is down", "args": (name,)}) for name in ("a", "a", "b")]
    assert [once.filter(record) for record in records] == [True, False, True]


def test_a_summary_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    options = ("--sink", "file", "--output", str(tmp_path), "--gateways", "1", "--duration", "20")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "simulator", "run", *options],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.endswith(b"fleet-simulator: output: No space left on device\n")
    assert b"Traceback" not in done.stderr
