"""The agent and its disk: full, read-only or damaged. It starts, measures and tells."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.status import read
from tests.edge_agent.running import Start, delivered, held, recorded, timeless

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")


class SmallDisk:
    """A file system of 4 MiB."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self._mount("-t", "tmpfs", "-o", "size=4m,mode=0755", "none")

    def fill(self) -> None:
        """Leave not a byte."""
        with (self.path / "filler").open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                return

    def free(self) -> None:
        """Make room again."""
        (self.path / "filler").unlink()

    def protect(self, on: bool) -> None:
        """Let nobody write, or again."""
        self._mount("-o", "remount,ro" if on else "remount,rw")

    def close(self) -> None:
        """Unmount it."""
        subprocess.run(["umount", "-l", str(self.path)], check=True)

    def _mount(self, *options: str) -> None:
        subprocess.run(["mount", *options, str(self.path)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    made = SmallDisk(tmp_path / "disk")
    yield made
    made.close()


@as_root
def test_a_disk_that_is_full_at_the_start_keeps_nobody_from_measuring_and_is_told(
    disk: SmallDisk,
    start: Start,
    config_file: Any,
    broker: Any,
    observer: Any,
    eventually: Any,
    tmp_path: Path,
) -> None:
    disk.fill()
    truth, runtime = tmp_path / "truth.jsonl", tmp_path / "run"
    runtime.mkdir()
    config = config_file(broker.port, spool=str(disk.path / "spool"))
    agent = start(config, truth, RUNTIME_DIRECTORY=str(runtime))
    status = runtime / "status.json"
    eventually(lambda: status.exists() and read(status).spool.in_memory > 5)
    assert "No space left on device" in read(status).problems[0].what
    assert agent.log.count("the spool takes no readings") == 1
    disk.free()
    observer.wait_for(1)
    assert agent.end() == 0
    assert "the spool takes readings again; 0 were lost" in agent.log
    assert timeless(delivered(observer.received)) == timeless(recorded(truth))


@as_root
def test_a_read_only_disk_keeps_nobody_from_measuring_and_costs_nothing_once_it_is_writable(
    disk: SmallDisk,
    start: Start,
    config_file: Any,
    broker: Any,
    observer: Any,
    eventually: Any,
    tmp_path: Path,
) -> None:
    (disk.path / "spool").mkdir()
    disk.protect(True)
    truth = tmp_path / "truth.jsonl"
    agent = start(config_file(broker.port, spool=str(disk.path / "spool")), truth)
    eventually(lambda: "the spool takes no readings" in agent.log)
    eventually(lambda: "the status cannot be written" in agent.log)
    assert "Read-only file system" in agent.log
    disk.protect(False)
    observer.wait_for(1)
    assert agent.end() == 0
    assert "the spool takes readings again; 0 were lost" in agent.log
    assert timeless(delivered(observer.received)) == timeless(recorded(truth))


@as_root
def test_readings_that_a_full_disk_keeps_in_memory_survive_a_reload(
    disk: SmallDisk,
    start: Start,
    config_file: Any,
    broker: Any,
    observer: Any,
    eventually: Any,
    tmp_path: Path,
) -> None:
    disk.fill()
    truth = tmp_path / "truth.jsonl"
    config = config_file(broker.port, spool=str(disk.path / "spool"))
    agent = start(config, truth)
    eventually(lambda: "the spool takes no readings" in agent.log)
    config_file(broker.port, link="south", spool=str(disk.path / "spool"))
    agent.send(signal.SIGHUP)
    eventually(lambda: agent.log.count("measures 1 series") == 2)
    disk.free()
    eventually(lambda: truth.exists() and any(line["link"] == "south" for line in recorded(truth)))
    assert agent.end() == 0
    assert timeless(delivered(observer.received)) == timeless(recorded(truth))
    assert recorded(truth)[0]["link"] == "north"


def test_a_corrupt_spool_no_network_and_no_clock_and_the_agent_measures_and_says_so(
    start: Start, config_file: Any, closed_port: int, eventually: Any, tmp_path: Path
) -> None:
    config, truth = config_file(closed_port), tmp_path / "truth.jsonl"
    agent = start(config, truth)
    eventually(lambda: truth.exists() and len(recorded(truth)) >= 20)
    agent.end(signal.SIGKILL)
    rng = random.Random(4)
    for path in (tmp_path / "spool").glob("*.log"):
        content = bytearray(path.read_bytes())
        for _ in range(50):
            content[rng.randrange(2_000)] = rng.randrange(256)
        path.write_bytes(content)
    agent = start(config, truth)
    before = len(recorded(truth))
    eventually(lambda: len(recorded(truth)) >= before + 10)
    status = tmp_path / "spool.status.json"
    eventually(lambda: status.exists() and read(status).delivery.state == "unreachable", 20)
    told = " ".join(each.what for each in read(status).problems)
    assert "out of reach" in told and "bytes of the spool were damaged" in told
    assert agent.process.poll() is None
    assert agent.end() == 0
    assert read(status).is_stopped
    assert held(config) > 0
