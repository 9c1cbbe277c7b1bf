"""`edge-agent reflect`: what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.reflect import described
from edge_agent.reflect import settings_of as reflector_settings
from tests.edge_agent.running import ROOT, Run


def free_port() -> int:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as opened:
        opened.bind(("::", 0))
        return int(opened.getsockname()[1])


@pytest.fixture
def reflector(tmp_path: Path) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """`edge-agent reflect` on a free port, ready; it is ended when it still runs."""
    port = free_port()
    arguments = ["reflect", "--port", str(port), "--train-port", str(free_port()), "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_agent", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    assert first.startswith("answering on all addresses: STAMP on UDP "), first
    yield port, process
    if process.poll() is None:
        process.kill()
        process.wait()


def test_a_reflector_answers_stamp_and_tells_its_counters_at_the_end(
    run: Run, reflector: tuple[int, subprocess.Popen[str]]
) -> None:
    port, process = reflector
    arguments = ("stamp", "127.0.0.1", "--port", str(port), "--count", "5", "--interval", "0.01")
    measured = run("probe", *arguments, "--timeout", "1")
    assert measured.returncode == 0, measured.stderr
    assert measured.stdout.splitlines()[1] == "5 sent, 5 received, 0 % lost"
    assert re.search(r"^out: 0 lost", measured.stdout, re.MULTILINE)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, "Traceback" in err) == (0, False)
    assert sum(json.loads(out).values()) >= 5


def test_a_port_that_is_taken_is_one_line(run: Run) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as taken:
        taken.bind(("::", 0))
        done = run("reflect", "--port", str(taken.getsockname()[1]), "--train-port", str(free_port()))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (69, "", 1)
    assert done.stderr.startswith("edge-agent reflect: ")


def test_networks_that_are_none_are_a_usage_error(run: Run) -> None:
    done = run("reflect", "--allow", "10.0.0.1/8")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("--allow: [reflector] allow has '10.0.0.1/8', not a network")


def test_options_of_the_reflector_become_its_settings(tmp_path: Path) -> None:
    given = {"listen": "::1", "port": 1862, "train_port": None, "allow": ["::1/128"], "bulk": True}
    settings = reflector_settings(Namespace(**given, key_file=tmp_path / "key"))
    assert (settings.listen, settings.port, settings.train_port) == ("::1", 1862, 8620)
    assert (settings.allow, settings.bulk, settings.enabled) == (("::1/128",), True, True)
    assert settings.key_file == tmp_path / "key"


def test_counters_stand_in_line() -> None:
    assert described({"a": 1, "long.name": 20}) == ["a          1", "long.name  20"]
