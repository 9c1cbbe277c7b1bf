"""The resident agent delivers what it measured, exactly, through stops, crashes, outages and reloads."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from edge_agent.contract import decode
from tests.edge_agent.broker import free_port
from tests.edge_agent.running import Start, delivered, held, recorded, sent, timeless


@pytest.mark.parametrize("publisher", ["paho", "awsiotsdk"])
def test_what_was_measured_is_delivered_and_a_stop_leaves_nothing_behind(
    publisher: str, start: Start, broker: Any, observer: Any, config_file: Any, tmp_path: Path
) -> None:
    config = config_file(broker.port, publisher=publisher)
    agent = start(config, tmp_path / "truth.jsonl")
    observer.wait_for(2)
    assert agent.end() == 0
    truth = recorded(tmp_path / "truth.jsonl")
    assert held(config) == 0
    observer.wait_for(2)
    assert timeless(delivered(observer.received)) == timeless(truth)
    assert len(truth) > 2
    assert truth[0]["flags"] and truth[0]["link"] == "north"


def test_it_starts_without_a_broker_and_delivers_when_there_is_one(
    start: Start, broker: Any, config_file: Any, tmp_path: Path, eventually: Any, request: Any
) -> None:
    broker.kill()
    truth = tmp_path / "truth.jsonl"
    agent = start(config_file(broker.port), truth)
    eventually(lambda: truth.exists() and len(recorded(truth)) >= 10)
    assert agent.process.poll() is None
    broker.start()
    observer = request.getfixturevalue("observer")
    observer.wait_for(1)
    assert agent.end() == 0
    assert agent.log.count("WARNING uplink") == 1, agent.log
    assert agent.log.count("are being delivered") == 1


def test_what_a_stop_could_not_deliver_the_next_start_does(
    start: Start, broker: Any, config_file: Any, tmp_path: Path, eventually: Any, request: Any
) -> None:
    broker.kill()
    truth = tmp_path / "truth.jsonl"
    config = config_file(broker.port)
    agent = start(config, truth)
    eventually(lambda: truth.exists() and len(recorded(truth)) >= 5)
    assert agent.end(signal.SIGINT) == 0
    assert held(config) == len(recorded(truth))
    broker.start()
    observer = request.getfixturevalue("observer")
    agent = start(config, truth)
    observer.wait_for(2)
    assert agent.end() == 0
    assert timeless(delivered(observer.received)) == timeless(recorded(truth))


def test_a_kill_loses_nothing_that_was_accepted_and_doubles_nothing(
    start: Start, broker: Any, observer: Any, config_file: Any, tmp_path: Path, eventually: Any
) -> None:
    truth = tmp_path / "truth.jsonl"
    config = config_file(broker.port)
    for round_ in range(1, 4):
        agent = start(config, truth)
        eventually(lambda wanted=round_ * 8: truth.exists() and len(recorded(truth)) >= wanted)
        agent.end(signal.SIGKILL)
        if not truth.read_text().endswith("\n"):
            truth.write_text(truth.read_text().rpartition("\n")[0] + "\n")
    agent = start(config, truth)
    eventually(lambda: len(recorded(truth)) >= 30)
    assert agent.end() == 0
    assert held(config) == 0
    arrived = delivered(observer.received)
    assert max(Counter(map(repr, arrived)).values()) == 1
    assert set(map(repr, timeless(arrived))) >= set(map(repr, timeless(recorded(truth))))


def test_sigusr1_delivers_at_once(
    start: Start, broker: Any, observer: Any, config_file: Any, tmp_path: Path, eventually: Any
) -> None:
    truth = tmp_path / "truth.jsonl"
    agent = start(config_file(broker.port, flush_s="3600"), truth)
    eventually(lambda: truth.exists() and len(recorded(truth)) >= 2)
    agent.send(signal.SIGUSR1)
    observer.wait_for(1)
    eventually(lambda: "flushed on request: all has arrived" in agent.log)
    assert agent.end() == 0


# --- reload ---------------------------------------------------------------------------------------


def test_sighup_takes_a_valid_configuration_and_keeps_the_spool(
    start: Start, broker: Any, observer: Any, config_file: Any, tmp_path: Path, eventually: Any
) -> None:
    truth = tmp_path / "truth.jsonl"
    config = config_file(broker.port)
    agent = start(config, truth)
    observer.wait_for(1)
    config_file(broker.port, link="south")
    agent.send(signal.SIGHUP)
    eventually(lambda: any(line["link"] == "south" for line in recorded(truth)))
    assert agent.end() == 0
    assert timeless(delivered(observer.received)) == timeless(recorded(truth))
    batches = [decode(payload) for payload in sent(observer.received)]
    assert len({batch.epoch for batch in batches}) == 1
    # Until the broker has acknowledged a definition, the next batch has it as well.
    definitions = [link.id for batch in batches for link in batch.links]
    assert [*dict.fromkeys(definitions)] == ["north", "south"]


def test_sighup_with_an_invalid_configuration_changes_nothing_and_says_why(
    start: Start, broker: Any, observer: Any, config_file: Any, tmp_path: Path, eventually: Any
) -> None:
    config = config_file(broker.port)
    agent = start(config)
    observer.wait_for(1)
    line = config.read_text().count("\n") + 1
    config.write_text(config.read_text() + "traget = 1\n")
    agent.send(signal.SIGHUP)
    eventually(lambda: "the old one stays" in agent.log)
    assert f"{config}:{line}: [[link]] traget: unknown key; did you mean target?" in agent.log
    observer.wait_for(len(observer.received) + 1)
    assert agent.end() == 0


def test_sighup_with_a_configuration_that_cannot_start_goes_back_to_the_old_one(
    start: Start, broker: Any, observer: Any, config_file: Any, tmp_path: Path, eventually: Any
) -> None:
    agent = start(config_file(broker.port))
    observer.wait_for(1)
    (tmp_path / "file").touch()
    config_file(broker.port, spool=str(tmp_path / "file" / "spool"))
    agent.send(signal.SIGHUP)
    eventually(lambda: "back to the old one" in agent.log)
    observer.wait_for(len(observer.received) + 1)
    assert agent.end() == 0


# --- what it measures of itself, and answers ------------------------------------------------------


def test_the_gateways_own_health_is_delivered_under_its_own_name(
    start: Start, config_file: Any, broker: Any, observer: Any, eventually: Any
) -> None:
    path = config_file(broker.port, extra="[probe.host]\nperiod_s = 0.3\ntimeout_s = 0.3\n")
    path.write_text(path.read_text().replace('name = "gw-1"\n', 'name = "gw-1"\nprobes = ["host"]\n', 1))
    running = start(path)
    eventually(lambda: any(each["kind"] == "host" for each in delivered(observer.received)))
    assert running.end() == 0
    told = [each for each in delivered(observer.received) if each["kind"] == "host"]
    assert {each["link"] for each in told} == {"host"}
    assert told[-1]["memory_total_kib"] > 0


def test_an_agent_with_a_reflector_answers_stamp_and_one_without_does_not(
    start: Start, config_file: Any, broker: Any, eventually: Any
) -> None:
    port, train_port = free_port(), free_port()
    section = f"[reflector]\nenabled = true\nport = {port}\ntrain_port = {train_port}\n"
    running = start(config_file(broker.port, extra=section))
    eventually(lambda: "the reflector answers STAMP" in running.log)
    command = [sys.executable, "-m", "edge_agent", "probe", "stamp", "127.0.0.1", "--port", str(port)]
    done = subprocess.run([*command, "--count", "3", "--timeout", "1"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert running.end() == 0
    done = subprocess.run([*command, "--count", "3", "--timeout", "1"], capture_output=True, text=True)
    assert done.returncode != 0


def test_a_reflector_whose_port_is_taken_does_not_stop_the_measuring(
    start: Start, config_file: Any, broker: Any, observer: Any
) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as taken:
        taken.bind(("::", 0))
        port = taken.getsockname()[1]
        section = f"[reflector]\nenabled = true\nport = {port}\ntrain_port = {free_port()}\n"
        running = start(config_file(broker.port, extra=section))
        observer.wait_for(1)
        assert "the reflector does not start, the agent does: " in running.log
        assert running.end() == 0
