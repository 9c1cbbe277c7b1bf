"""The demo ends in order, whenever it is interrupted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infrastructure.local.process import is_alive, read_marks
from infrastructure.local.state import StateFolder
from tests.infrastructure.parts import eventually


def test_interrupted_while_the_cloud_starts_it_measures_nothing_and_leaves_no_process(tmp_path: Path) -> None:
    """Ctrl-C reaches the whole group of processes, as from a terminal."""
    state = StateFolder(tmp_path / "state")
    with subprocess.Popen(
        [sys.executable, "-m", "infrastructure.demo", "--seconds", "60", "--state", str(state.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as demo:
        eventually(lambda: len(read_marks(state.processes)) > 1)
        started = [mark.pid for mark in read_marks(state.processes)]
        os.killpg(demo.pid, signal.SIGINT)
        said = demo.communicate(timeout=60)[0]
    assert demo.returncode == 1
    assert said.splitlines()[-1] == "demo: interrupted before anything was measured"
    assert "Traceback" not in said
    assert [pid for pid in started if is_alive(pid)] == []
    assert not (state.path / "agent").exists()


@pytest.mark.parametrize(
    ("seconds", "faults"), [("20", ()), ("12", ("--faults", "1"))], ids=["calm", "under faults"]
)
def test_it_ends_by_itself_with_every_reading_exactly_once(
    tmp_path: Path, seconds: str, faults: tuple[str, ...]
) -> None:
    demo = [sys.executable, "-m", "infrastructure.demo"]
    command = [*demo, "--seconds", seconds, "--gateways", "2", "--links", "3"]
    done = subprocess.run(
        [*command, *faults, "--state", str(tmp_path / "state")],
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every reading exactly once" in done.stdout
    assert ("Faults injected" in done.stdout) == bool(faults)
    assert ", by 5m" in done.stdout
    compared = re.search(r"rollups compared +([\d,]+)", done.stdout)
    # The passes of a demo that measured an hour before it began; under faults they may come to nothing.
    assert compared
    assert faults or compared[1] != "0"
    assert (tmp_path / "state" / "truth" / "agent.jsonl").read_text()
    assert (tmp_path / "state" / "truth" / "fleet.jsonl").read_text()


def test_a_demo_too_short_to_measure_anything_is_no_success(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "infrastructure.demo",
        "--seconds",
        "1",
        "--state",
        str(tmp_path / "state"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 1
    assert "has measured nothing yet" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
