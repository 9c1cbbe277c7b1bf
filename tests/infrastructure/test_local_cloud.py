"""The local cloud as its operator meets it: up, down, status, logs, and what happens when it breaks."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from infrastructure.local import engine
from infrastructure.local.process import read_marks
from tests.infrastructure.local_status import PARTS, part_pid, pids, status
from tests.infrastructure.parts import Gateway, LocalCloud, enrol, eventually

POLICY = "linkpulse-local-gateway"


# --- a cloud that runs --------------------------------------------------------------------------------


def test_every_part_runs_and_status_says_so(local_cloud: LocalCloud) -> None:
    found = local_cloud.run("status")
    assert found.returncode == 0
    assert [line.split()[1:4:2] for line in found.stdout.splitlines() if "│ running │" in line] == [
        [name, "running"] for name in PARTS
    ]


def test_status_for_machines_is_the_status_file(local_cloud: LocalCloud) -> None:
    found = status(local_cloud)
    assert (found["state"], list(found["parts"]), found["notes"]) == ("running", PARTS, [])
    assert isinstance(found["iterator_age_ms"], int)


def test_the_connection_file_holds_what_clients_need(local_cloud: LocalCloud) -> None:
    form = json.loads(local_cloud.state.connection.read_text())
    assert sorted(form) == sorted(
        [
            "endpoint_url",
            "region",
            "access_key_id",
            "secret_access_key",
            "stack",
            "mqtt_endpoint",
            "mqtt_port",
            "ca",
            "iot_data_url",
        ]
    )
    assert form["stack"] == "linkpulse-local"
    assert Path(form["ca"]).is_file()


def test_nothing_listens_on_another_address_than_the_loopback(local_cloud: LocalCloud) -> None:
    listening = [
        (each.laddr.ip, each.laddr.port)
        for each in psutil.net_connections("inet")
        if each.pid in pids(local_cloud) and each.status == psutil.CONN_LISTEN and each.laddr
    ]
    ports = [port for _, port in listening]
    assert {ip for ip, _ in listening} == {"127.0.0.1"}
    assert local_cloud.connection.mqtt_port in ports
    assert int(local_cloud.connection.endpoint_url.rpartition(":")[2]) in ports


def test_a_second_up_says_that_one_is_running_and_where(local_cloud: LocalCloud) -> None:
    again = local_cloud.run("up")
    supervisor = read_marks(local_cloud.state.processes)[0].pid
    assert again.returncode == 1
    connection = local_cloud.connection
    assert again.stderr == (
        f"local-cloud: one is running already (pid {supervisor}, engine {connection.endpoint_url}, "
        f"MQTT 127.0.0.1:{connection.mqtt_port}); end it with local-cloud down\n"
    )


def test_only_the_owner_can_read_what_is_in_the_folder(local_cloud: LocalCloud) -> None:
    assert local_cloud.state.path.stat().st_mode & 0o077 == 0
    assert local_cloud.state.connection.stat().st_mode & 0o077 == 0


def test_the_logs_of_a_part_can_be_read_and_an_unknown_part_is_named(local_cloud: LocalCloud) -> None:
    found = local_cloud.run("logs", "supervisor")
    assert (found.returncode, "ready: http://127.0.0.1:" in found.stdout) == (0, True)
    unknown = local_cloud.run("logs", "brokr")
    assert unknown.returncode == 1
    expected = f"local-cloud: no log of brokr in {local_cloud.state.logs}; there is bridge, broker,"
    assert unknown.stderr.startswith(expected)


def test_following_the_logs_shows_what_is_written_from_then_on(
    local_cloud: LocalCloud, tmp_path: Path
) -> None:
    state = str(local_cloud.state.path)
    command = [sys.executable, "-u", "-m", "infrastructure.local", "logs", "--state", state, "--follow"]
    output = tmp_path / "output"
    port = local_cloud.connection.mqtt_port

    def broker_line_shown() -> bool:
        # A connection without TLS makes the broker write a line.
        socket.create_connection(("127.0.0.1", port)).close()
        return "broker: " in output.read_text().replace(before, "")

    with output.open("w") as file, subprocess.Popen(command, stdout=file) as follower:
        before = local_cloud.run("logs").stdout
        eventually(lambda: bool(output.read_text()))
        eventually(broker_line_shown)
        follower.send_signal(signal.SIGINT)
    assert follower.returncode == 130


# --- through the whole cloud --------------------------------------------------------------------------


@pytest.fixture
def whole(local_cloud: LocalCloud, tmp_path: Path) -> Iterator[Gateway]:
    """A gateway named whole-1, enrolled and connected."""
    clients = engine.connect(local_cloud.connection.endpoint_url)
    identity = enrol(clients, f"whole-{tmp_path.name[-20:].replace('_', '-')}", POLICY, tmp_path)
    gateway = Gateway(local_cloud.connection.mqtt_port, Path(local_cloud.connection.ca), identity)
    yield gateway
    gateway.close()


def quarantined_after(cloud: LocalCloud, gateway: Gateway) -> None:
    """Publish what is no batch and see it quarantined: then the function has run and reached its tables."""
    before = status(cloud)["counters"].get("metric.Quarantined", 0)
    gateway.publish(f"$aws/rules/linkpulse_local_ingest/v1/{gateway.name}/m", b"no batch")
    eventually(lambda: status(cloud)["counters"].get("metric.Quarantined", 0) == before + 1)


def test_a_message_goes_from_a_gateway_through_the_function(local_cloud: LocalCloud, whole: Gateway) -> None:
    quarantined_after(local_cloud, whole)


def test_the_schedule_calls_the_rollup_function_which_reaches_its_tables(local_cloud: LocalCloud) -> None:
    eventually(lambda: status(local_cloud)["counters"].get("schedule.invoked", 0) > 0)
    counters = status(local_cloud)["counters"]
    assert "schedule.failed" not in counters
    assert "metric.RollupGateways" in counters
    assert counters["metric.RollupUnfinished"] == 0


def test_a_killed_process_of_the_function_is_named_and_replaced_with_the_next_event(
    local_cloud: LocalCloud, whole: Gateway
) -> None:
    os.kill(part_pid(local_cloud, "function"), signal.SIGKILL)
    eventually(lambda: "1 ended" in status(local_cloud)["parts"]["function"]["detail"])
    quarantined_after(local_cloud, whole)
    eventually(lambda: status(local_cloud)["parts"]["function"]["detail"] == "1 process")
