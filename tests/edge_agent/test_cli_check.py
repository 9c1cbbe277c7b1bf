"""`edge-agent check`: what it says of a configuration, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.edge_agent.config_files import FOLDER
from tests.edge_agent.running import Run


def test_check_says_what_a_good_configuration_does(run: Run, checked: Path) -> None:
    done = run("check", str(checked))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"{checked}: ok: gateway gw-1, 2 links, 2 series\n"
        "delivers to localhost:8883 with paho, topic $aws/rules/demo_ingest/v1/gw-1/m\n"
    )


def test_check_lists_every_problem_and_exits_78(run: Run) -> None:
    path = FOLDER / "invalid-all-at-once.toml"
    done = run("check", str(path))
    assert (done.returncode, done.stdout) == (78, "")
    for line in (6, 7, 10, 21, 22):
        assert f"{path}:{line}: " in done.stderr


def test_check_names_the_misspelt_key(run: Run) -> None:
    path = FOLDER / "invalid-unknown-key.toml"
    done = run("check", str(path))
    assert f"{path}:11: [mqtt] endpont: unknown key; did you mean endpoint?\n" in done.stderr


@pytest.mark.parametrize("how", ["argument", "option", "variable"])
def test_the_file_may_be_named_in_three_ways(how: str, run: Run, checked: Path) -> None:
    match how:
        case "argument":
            done = run("check", str(checked))
        case "option":
            done = run("check", "--config", str(checked))
        case _:
            done = run("check", EDGE_AGENT_CONFIG=str(checked))
    assert done.returncode == 0


def test_check_in_json(run: Run, checked: Path) -> None:
    assert json.loads(run("check", "--json", str(checked)).stdout) == {
        "ok": True,
        "problems": [],
        "warnings": [],
    }
    done = run("check", "--json", str(checked), "--set", "mqtt.port=0")
    assert done.returncode == 78
    assert json.loads(done.stdout)["problems"] == ["--set mqtt.port: [mqtt] port is 0, not 1 to 65535"]


def test_check_opens_no_network_and_leaves_no_file(run: Run, checked: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    assert run("check", str(checked), "--set", "mqtt.endpoint=broker.invalid").returncode == 0
    assert sorted(tmp_path.iterdir()) == before
