"""The target: the local cloud that is up, else AWS; each failure one line."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from simulator.target import Broker, SimulatorError, Target, resolve


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def connection(state: Path, **changes: object) -> None:
    form = {
        "endpoint_url": f"http://127.0.0.1:{free_port()}",
        "region": "us-east-1",
        "access_key_id": "local",
        "secret_access_key": "local",
        "stack": "linkpulse-local",
        "mqtt_endpoint": "127.0.0.1",
        "mqtt_port": 18883,
        "ca": str(state / "ca.pem"),
        **changes,
    }
    state.mkdir(exist_ok=True)
    (state / "connection.json").write_text(json.dumps(form))


def test_the_state_folder_given_wins_over_the_environment(tmp_path: Path) -> None:
    connection(tmp_path / "given", stack="given")
    connection(tmp_path / "env", stack="env")
    environment = {"LINKPULSE_STATE": str(tmp_path / "env")}
    assert resolve(None, str(tmp_path / "given"), environment).stack == "given"
    assert resolve(None, "", environment).stack == "env"
    assert resolve(None, None, environment).stack == "env"


def test_without_a_local_cloud_it_is_the_development_stack_on_aws(tmp_path: Path) -> None:
    target = resolve(None, None, {"LINKPULSE_STATE": str(tmp_path)})
    assert target == Target("linkpulse-dev", Path(".linkpulse/linkpulse-dev"))
    assert target.options == ("--stack", "linkpulse-dev")


def test_the_local_cloud_says_where_gateways_connect(tmp_path: Path) -> None:
    connection(tmp_path)
    target = resolve(None, str(tmp_path), {})
    assert target.broker() == Broker("127.0.0.1", 18883, tmp_path / "ca.pem")
    assert target.options == ("--local", str(tmp_path))
    assert "secret" not in repr(target)


def test_both_options_are_wrong_usage() -> None:
    with pytest.raises(SimulatorError, match="not both") as caught:
        resolve("s", "", {})
    assert caught.value.code == 2


@pytest.mark.parametrize("text", ["", "[]", "{}", "{"])
def test_an_unreadable_connection_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "connection.json").write_text(text)
    with pytest.raises(SimulatorError, match=r"connection\.json cannot be read"):
        resolve(None, str(tmp_path), {})


def test_no_local_cloud_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SimulatorError, match="start one with `local-cloud up`"):
        resolve(None, str(tmp_path / "none"), {})


def test_a_local_cloud_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    connection(tmp_path)
    with pytest.raises(SimulatorError, match=r"does not answer: see `local-cloud status`$"):
        resolve(None, str(tmp_path), {}).outputs()
