"""The resident agent under a service manager, and what keeps it from starting."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_agent import notify
from edge_agent.pulse import Pulse
from tests.edge_agent.running import Start

# --- the service manager --------------------------------------------------------------------------


@pytest.mark.parametrize("is_abstract", [False, True])
def test_the_service_manager_is_told_of_every_phase(
    is_abstract: bool, start: Start, broker: Any, config_file: Any, tmp_path: Path
) -> None:
    broker.kill()
    name = f"@edge-agent-test-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if is_abstract else name)
        manager.settimeout(20)
        agent = start(config_file(broker.port), None, NOTIFY_SOCKET=name, WATCHDOG_USEC="200000")
        heard: list[str] = []

        def listen_for(state: str) -> None:
            while not heard or not heard[-1].startswith(state):
                heard.append(manager.recv(1024).decode())

        listen_for("READY=1")
        listen_for("WATCHDOG=1")
        listen_for("WATCHDOG=1")
        agent.send(signal.SIGHUP)
        listen_for("RELOADING=1\nMONOTONIC_USEC=")
        listen_for("READY=1")
        agent.send(signal.SIGTERM)
        listen_for("STOPPING=1")
    assert agent.process.wait(30) == 0


def test_the_journal_gets_priorities_and_nobody_else(
    start: Start, config_file: Any, tmp_path: Path, eventually: Any
) -> None:
    config = config_file(8883)
    log = config.with_name(f"{config.name}.log")
    log.touch()
    stream = f"{log.stat().st_dev}:{log.stat().st_ino}"
    agent = start(config, None, JOURNAL_STREAM=stream)
    eventually(lambda: "<6>gw-1 measures 1 series\n" in agent.log)
    assert agent.end() == 0
    log.unlink()
    other = start(config, None, JOURNAL_STREAM="1:1")
    eventually(lambda: "INFO    gw-1 measures 1 series\n" in other.log)
    assert other.end() == 0


def test_notifying_nobody_is_no_error(tmp_path: Path) -> None:
    notify.send("", "READY=1")
    notify.send(str(tmp_path / "nobody"), "READY=1")
    notify.send("x" * 200, "READY=1")


def test_the_watchdog_is_fed_twice_in_its_time_if_it_watches_this_process() -> None:
    assert notify.watchdog_s({"WATCHDOG_USEC": "30000000"}, 7) == 15
    assert notify.watchdog_s({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 7) == 15
    assert notify.watchdog_s({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, 7) is None
    assert notify.watchdog_s({"WATCHDOG_USEC": "soon"}, 7) is None
    assert notify.watchdog_s({}, 7) is None


def test_a_loop_that_no_longer_turns_is_named() -> None:
    now = 0.0
    pulse = Pulse(lambda: now)
    beat = pulse.watch("commit", 10)
    pulse.watch("uplink", 30)
    now = 9
    beat()
    now = 19
    assert pulse.stalled() == []
    now = 20
    assert pulse.stalled() == ["commit"]
    beat()
    assert pulse.stalled() == []


# --- what keeps it from starting ------------------------------------------------------------------


def test_a_second_agent_on_the_same_spool_ends_with_one_line(
    start: Start, broker: Any, observer: Any, config_file: Any, tmp_path: Path
) -> None:
    config = config_file(broker.port)
    first = start(config)
    observer.wait_for(1)
    second = start(config_file(broker.port, name="second.toml"))
    assert second.process.wait(30) == 75
    assert second.last_words == [f"{tmp_path}/spool is in use by another edge-agent; stop that one first"]
    assert first.end() == 0


def test_a_missing_certificate_ends_it_with_one_line(start: Start, config_file: Any) -> None:
    config = config_file(8883)
    lines = config.read_text().splitlines()
    line = next(number for number, each in enumerate(lines) if each.startswith("certificate"))
    lines[line] = 'certificate = "/nonexistent/gw.crt"'
    config.write_text("\n".join(lines))
    agent = start(config)
    assert agent.process.wait(30) == 78
    place = f"{config}:{line + 1}: [mqtt] certificate"
    assert agent.log == f"{place} /nonexistent/gw.crt: No such file or directory\n"


def test_a_spool_that_cannot_be_made_ends_it_with_one_line(
    start: Start, config_file: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    agent = start(config_file(8883, spool=f"{tmp_path}/file/spool"))
    assert agent.process.wait(30) == 78
    assert agent.last_words == [f"[spool] path {tmp_path}/file/spool: Not a directory"]


def test_a_record_that_cannot_be_written_ends_it_with_one_line(
    start: Start, config_file: Any, tmp_path: Path
) -> None:
    agent = start(config_file(8883), tmp_path / "nowhere" / "truth.jsonl")
    assert agent.process.wait(30) == 1
    assert agent.last_words == [f"{tmp_path}/nowhere/truth.jsonl: No such file or directory"]


def test_the_resident_agent_imports_nothing_it_does_not_need() -> None:
    code = (
        "import sys, edge_agent.life, edge_agent.mqtt_paho, edge_agent.config_load\n"
        "unwanted = {'boto3', 'botocore', 'scapy', 'rich', 'awscrt', 'awsiot', 'cryptography'}\n"
        "print(*sorted(unwanted & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
