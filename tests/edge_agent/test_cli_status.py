"""`edge-agent status` and what else looks into the state of an agent: what it says, and to whom."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from edge_agent.__main__ import main
from tests.edge_agent.running import Run


def test_status_of_an_agent_that_was_never_started_says_how_to_start_it(run: Run, checked: Path) -> None:
    done = run("status", "--config", str(checked))
    assert (done.returncode, done.stdout) == (69, "")
    assert f"there is no status in {checked.parent}/spool.status.json" in done.stderr
    assert "systemctl start edge-agent" in done.stderr


def test_status_of_a_running_and_of_a_stopped_agent(
    run: Run, checked: Path, start: Any, eventually: Any
) -> None:
    agent = start(checked)
    eventually((checked.parent / "spool.status.json").exists)
    done = run("status", "--config", str(checked))
    assert done.returncode == 1  # nobody listens at the broker's port
    lines = done.stdout.splitlines()
    assert lines[0].startswith("gw-1: running for ")
    assert any(line.startswith("spool     ") for line in lines)
    assert any(line.startswith("north") for line in lines)
    assert lines[-2].startswith("- ")
    assert agent.end() == 0
    done = run("status", "--config", str(checked), "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["running"], told["healthy"], told["is_stopped"]) == (69, False, False, True)


def test_a_broken_configuration_keeps_nobody_from_the_status(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text("nonsense")
    done = run("status", "--config", str(path))
    assert done.returncode == 69
    assert "/run/edge-agent/status.json" in done.stderr


def test_a_status_that_was_cut_off_says_what_to_do(run: Run, checked: Path) -> None:
    (checked.parent / "spool.status.json").touch()
    done = run("status", "--config", str(checked))
    assert (done.returncode, done.stdout) == (69, "")
    assert "holds no status" in done.stderr and "writes a new one within 10 s" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
@pytest.mark.parametrize("command", [["spool", "status"], ["spool", "verify"], ["budget"]])
def test_what_only_the_agent_may_read_is_told_with_what_to_do(
    command: list[str], checked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        state = Path(folder) / "state"
        state.mkdir(mode=0o700)
        config = Path(folder) / "agent.toml"
        config.write_text(checked.read_text() + '[budget]\ninterfaces = ["wwan0"]\n')
        given = [*command, "--config", str(config), "--set", f"spool.path={state / 'spool'}"]
        main(given)  # nobody may not read the modules that it imports
        capsys.readouterr()
        os.seteuid(65534)
        try:
            assert main(given) == 77
        finally:
            os.seteuid(0)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"edge-agent: {state}/spool") and told.err.endswith("try it with sudo\n")


def test_spool_says_what_waits(run: Run, checked: Path, start: Any, eventually: Any) -> None:
    agent = start(checked)
    eventually((checked.parent / "spool.status.json").exists)
    assert agent.end() == 0
    done = run("spool", "status", "--config", str(checked), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["held"] > 0
