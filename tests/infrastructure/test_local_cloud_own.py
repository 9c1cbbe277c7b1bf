"""The local cloud when it breaks, is used wrongly or is asked to end: a cloud of each test's own."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from infrastructure.local import control
from infrastructure.local.process import free_port, is_alive
from infrastructure.local.state import StateFolder, read_connection, read_status
from tests.infrastructure.local_status import PARTS, part_pid, pids, status
from tests.infrastructure.parts import LocalCloud, eventually


def test_a_killed_part_is_named_and_the_others_go_on_and_down_leaves_nothing(
    stopped_cloud: LocalCloud,
) -> None:
    cloud = stopped_cloud
    assert cloud.run("up").returncode == 0
    everything = pids(cloud)
    os.kill(part_pid(cloud, "broker"), signal.SIGKILL)
    eventually(lambda: status(cloud)["state"] == "failed")
    found = status(cloud)
    assert found["parts"]["broker"]["state"] == "failed"
    assert found["parts"]["broker"]["detail"].startswith("killed by SIGKILL")
    assert {name: found["parts"][name]["state"] for name in PARTS if name != "broker"} == {
        name: "running" for name in PARTS if name != "broker"
    }
    shown = cloud.run("status")
    assert shown.returncode == 1
    assert "killed by SIGKILL" in shown.stdout
    assert "broker has failed: killed by SIGKILL" in cloud.run("logs", "supervisor").stdout
    down = cloud.run("down")
    assert (down.returncode, down.stdout) == (0, f"ended {len(everything) - 1} processes\n")
    assert [pid for pid in everything if is_alive(pid)] == []
    assert not cloud.state.connection.exists()
    assert cloud.run("status").returncode == 1


def test_children_of_a_killed_supervisor_die_and_the_next_up_clears_up(stopped_cloud: LocalCloud) -> None:
    cloud = stopped_cloud
    assert cloud.run("up").returncode == 0
    everything = pids(cloud)
    os.kill(everything[0], signal.SIGKILL)
    if sys.platform == "linux":
        eventually(lambda: not any(is_alive(pid) for pid in everything))
    crashed = cloud.run("status")
    assert crashed.returncode == 1
    assert "it crashed; local-cloud down clears up" in crashed.stderr
    assert status(cloud) == {"state": "crashed"}
    assert cloud.run("up").returncode == 0
    assert [pid for pid in everything if is_alive(pid)] == []


def test_the_fixed_ports_and_parameters_are_used(stopped_cloud: LocalCloud) -> None:
    cloud, engine_port, mqtt_port = stopped_cloud, free_port(), free_port()
    up = cloud.run(
        *("up", "--engine-port", str(engine_port), "--mqtt-port", str(mqtt_port)),
        *("--parameter", "Stage=other", "--parameter", "StreamShards=2"),
    )
    assert up.returncode == 0, up.stderr
    assert cloud.connection.endpoint_url == f"http://127.0.0.1:{engine_port}"
    assert cloud.connection.mqtt_port == mqtt_port
    assert cloud.connection.stack == "linkpulse-other"
    assert "2 processes" in status(cloud)["parts"]["function"]["detail"]


def test_down_ends_what_a_crashed_supervisor_left_and_no_process_of_another_time(
    stopped_cloud: LocalCloud, tmp_path: Path
) -> None:
    cloud = stopped_cloud
    cloud.state.create()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as stranger:
        created = psutil.Process(stranger.pid).create_time()
        mark = {"name": "child", "pid": stranger.pid, "created": created}
        cloud.state.processes.write_text(json.dumps([{**mark, "created": created - 100.0}]))
        assert cloud.run("down").stdout == f"no local cloud is running in {cloud.state.path}\n"
        assert stranger.poll() is None
        cloud.state.processes.write_text(json.dumps([mark]))
        ended = cloud.run("down")
        assert ended.returncode == 0
        assert "ended 1 processes that a crashed one had left" in ended.stdout
        eventually(lambda: stranger.poll() is not None)


def test_down_without_a_cloud_says_so_and_is_no_failure(stopped_cloud: LocalCloud) -> None:
    down = stopped_cloud.run("down")
    assert (down.returncode, down.stdout) == (0, f"no local cloud is running in {stopped_cloud.state.path}\n")


def test_status_without_a_cloud_says_so_and_fails(stopped_cloud: LocalCloud) -> None:
    found = stopped_cloud.run("status")
    assert found.returncode == 1
    assert "start one with local-cloud up" in found.stderr
    assert status(stopped_cloud) == {"state": "stopped"}


@pytest.mark.parametrize("option", ["--engine-port", "--mqtt-port"])
def test_a_taken_port_is_one_line_with_its_holder(stopped_cloud: LocalCloud, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        up = stopped_cloud.run("up", option, str(port))
    assert up.returncode == 1
    assert up.stderr.startswith(f"local-cloud: port {port} is taken by ")
    assert f"(pid {os.getpid()})" in up.stderr
    assert up.stderr.count("\n") == 1


def test_a_failed_start_names_the_part_and_leaves_nothing(stopped_cloud: LocalCloud) -> None:
    cloud = stopped_cloud
    up = cloud.run("up", "--parameter", "Colour=blue")
    assert up.returncode == 1
    assert up.stderr.startswith(
        "local-cloud: deployment: the template has no parameter Colour; it has Stage,"
    )
    assert up.stderr.count("\n") == 1
    assert "Traceback" not in up.stderr
    assert not cloud.state.processes.exists()
    found = cloud.run("status")
    assert (found.returncode, "no parameter Colour" in found.stdout) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["up", "--mqtt-port", "0"], "'0' is not a port from 1 to 65535"),
        (["up", "--port-base", "65535"], "'65535' leaves no port for MQTT"),
        (["up", "--parameter", "Stage"], "'Stage' is not of the form NAME=VALUE"),
        (["upp"], "invalid choice: 'upp'"),
    ],
)
def test_wrong_usage_is_named(stopped_cloud: LocalCloud, arguments: list[str], named: str) -> None:
    found = stopped_cloud.run(*arguments)
    assert found.returncode == 2
    assert named in found.stderr


def test_the_truth_and_logs_of_the_run_before_stand_aside_since_the_tables_are_new(
    stopped_cloud: LocalCloud,
) -> None:
    state = stopped_cloud.state
    state.create()
    (state.truth / "fleet.jsonl").write_text("{}\n")
    assert stopped_cloud.run("up").returncode == 0
    assert [path.name for path in state.truth.iterdir()] == ["fleet.jsonl.1"]


def test_an_up_that_comes_second_leaves_the_first_one_and_its_files_alone(stopped_cloud: LocalCloud) -> None:
    state = stopped_cloud.state
    state.create()
    state.log("supervisor").write_text("the first one's\n")
    with state.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        up = stopped_cloud.run("up")
    assert (up.returncode, up.stderr) == (1, "local-cloud: another local cloud is starting in this folder\n")
    assert state.log("supervisor").read_text() == "the first one's\n"


def test_the_layer_of_the_function_lies_in_the_folder_and_the_next_up_clears_it(
    stopped_cloud: LocalCloud,
) -> None:
    layer = stopped_cloud.state.path / "function-layer"
    (layer / "of-a-killed-one").mkdir(parents=True)
    assert stopped_cloud.run("up").returncode == 0
    assert [path.name.startswith("linkpulse-layer-") for path in layer.iterdir()] == [True]


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', '{"parts": []}'])
def test_files_that_cannot_be_read_count_as_not_there(tmp_path: Path, text: str) -> None:
    state = StateFolder(tmp_path)
    state.connection.write_text(text)
    state.status.write_text(text)
    assert (read_connection(state), read_status(state)) == (None, None)


def test_a_disk_without_room_is_one_line_and_nothing_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "SPACE_BYTES", 1 << 62)
    with pytest.raises(control.StartError, match="MB free, it needs"):
        control.start(StateFolder(tmp_path), control.Wanted(), lambda part: None)
    assert not (tmp_path / "processes.json").exists()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    up = LocalCloud(StateFolder(tmp_path / "file" / "state")).run("up")
    assert up.returncode == 1
    assert up.stderr.startswith(f"local-cloud: {tmp_path / 'file' / 'state'}")
    assert up.stderr.endswith(": Not a directory\n")


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_end_in_the_foreground_it_ends_everything(
    stopped_cloud: LocalCloud, asked: signal.Signals
) -> None:
    cloud = stopped_cloud
    command = [
        sys.executable,
        "-m",
        "infrastructure.local",
        "up",
        "--foreground",
        "--state",
        str(cloud.state.path),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as foreground:
        assert foreground.stdout is not None
        assert any(line.startswith("ready after") for line in iter(foreground.stdout.readline, ""))
        everything = pids(cloud)
        foreground.send_signal(asked)
        said = foreground.stdout.read()
    assert foreground.returncode == 0
    assert said.endswith(f"ended {len(everything)} processes\n")
    assert [pid for pid in everything if is_alive(pid)] == []


def test_interrupted_while_it_starts_it_ends_everything(stopped_cloud: LocalCloud) -> None:
    cloud = stopped_cloud
    command = [sys.executable, "-m", "infrastructure.local", "up", "--state", str(cloud.state.path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as starting:
        eventually(cloud.state.processes.exists)
        everything = pids(cloud)
        starting.send_signal(signal.SIGINT)
    assert starting.returncode == 130
    assert [pid for pid in everything if is_alive(pid)] == []
    assert cloud.run("status").returncode == 1
