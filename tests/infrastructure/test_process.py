"""Processes are known by more than their pid, end when they should, and a taken port is explained."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from infrastructure.local import process
from infrastructure.local.process import Child, PortError, ProcessMark
from tests.infrastructure.parts import PATIENCE_S, eventually

FOREVER = [sys.executable, "-c", "import time\nprint('up', flush=True)\ntime.sleep(600)"]
STUBBORN = [sys.executable, "-c", f"import signal\nsignal.signal(15, signal.SIG_IGN)\n{FOREVER[2]}"]


def started(command: list[str], folder: Path) -> Child:
    child = Child(command, folder / "log", os.environ, folder)
    eventually(lambda: process.last_words(folder / "log") == "up")
    return child


def marked(child: Child) -> ProcessMark:
    found = process.mark("child", child.pid)
    assert found is not None
    return found


def test_a_child_that_runs_has_no_failure_and_is_ended_by_stop(tmp_path: Path) -> None:
    child = started(FOREVER, tmp_path)
    assert child.failure() == ""
    child.stop()
    assert child.failure().startswith("killed by SIGTERM")


def test_a_child_that_does_not_end_when_asked_is_killed(tmp_path: Path) -> None:
    child = started(STUBBORN, tmp_path)
    child.stop(grace_s=0.1)
    assert child.failure().startswith("killed by SIGKILL")


def test_a_child_that_fails_is_described_by_its_code_and_its_error(tmp_path: Path) -> None:
    script = "import sys\nprint('Error: no such thing')\nprint('bye')\nsys.exit(3)"
    child = Child([sys.executable, "-c", script], tmp_path / "log", os.environ, tmp_path)
    eventually(lambda: bool(child.failure()))
    assert child.failure() == "ended with exit code 3: Error: no such thing"


def test_a_command_that_does_not_exist_is_said_in_the_log(tmp_path: Path) -> None:
    child = Child(["/no/such/command"], tmp_path / "log", os.environ, tmp_path)
    eventually(lambda: bool(child.failure()))
    assert child.failure() == "ended with exit code 1: /no/such/command: No such file or directory"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_children_die_with_the_process_that_started_them(tmp_path: Path) -> None:
    script = (
        "import os, sys, time\nfrom pathlib import Path\nfrom infrastructure.local.process import Child\n"
        f"child = Child({FOREVER!r}, Path({str(tmp_path / 'log')!r}), os.environ, Path({str(tmp_path)!r}))\n"
        "print(child.pid, flush=True)\ntime.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    eventually(lambda: process.last_words(tmp_path / "log") == "up")
    parent.kill()
    parent.wait(PATIENCE_S)
    parent.stdout.close()
    eventually(lambda: not process.is_alive(pid))


def test_a_mark_of_another_time_is_another_process(tmp_path: Path) -> None:
    child = started(FOREVER, tmp_path)
    mark = marked(child)
    earlier = replace(mark, created=mark.created - 60.0)
    assert mark.process() is not None
    assert earlier.process() is None
    assert process.end([earlier], grace_s=1.0) == []
    assert child.failure() == ""
    child.stop()
    assert mark.process() is None


def test_ending_kills_what_does_not_end_when_asked_and_says_what_was_alive(tmp_path: Path) -> None:
    child = started(STUBBORN, tmp_path)
    mark = marked(child)
    assert process.end([mark], grace_s=0.2) == [mark]
    assert mark.process() is None


def test_marks_survive_being_written_and_nonsense_reads_as_none(tmp_path: Path) -> None:
    path = tmp_path / "processes.json"
    marks = [ProcessMark("supervisor", 1, 2.5)]
    process.write_marks(path, marks)
    assert process.read_marks(path) == marks
    path.write_text('[{"pid": 1}]')
    assert process.read_marks(path) == []
    assert process.read_marks(tmp_path / "none") == []


def test_a_family_is_the_process_and_all_below_it(tmp_path: Path) -> None:
    child = started(FOREVER, tmp_path)
    found = {mark.pid: mark.name for mark in process.family(os.getpid())}
    assert (found[os.getpid()], found[child.pid]) == ("supervisor", "child")
    child.stop()


def test_a_taken_port_is_one_line_with_its_holder_and_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        name = psutil.Process().name()
        with pytest.raises(PortError) as raised:
            process.require_free(port, "--mqtt-port")
    assert str(raised.value) == (
        f"port {port} is taken by {name} (pid {os.getpid()}); "
        "stop it, choose another with --mqtt-port, or leave it out for a free one"
    )


def test_a_free_port_is_accepted() -> None:
    process.require_free(process.free_port(), "--mqtt-port")


@pytest.mark.parametrize(
    ("code", "described"),
    [(0, "ended with exit code 0"), (-signal.SIGKILL, "killed by SIGKILL"), (-250, "killed by signal 250")],
)
def test_the_end_of_a_process_is_described(code: int, described: str) -> None:
    assert process.describe_exit(code) == described
