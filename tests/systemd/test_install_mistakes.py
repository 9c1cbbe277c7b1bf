"""install.sh used wrongly: one line, and nothing is changed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.systemd.installing import SCRIPT, SYSTEMD, install


@pytest.mark.parametrize(
    ("options", "status", "reason"),
    [
        (["--frm", "x"], 2, "unknown option --frm"),
        (["--config"], 2, "--config needs a value"),
        (["--config", "/nowhere/agent.toml"], 1, "--config /nowhere/agent.toml cannot be read"),
        (["--certs", str(SYSTEMD)], 1, f"--certs {SYSTEMD} holds no PEM file"),
        (["--from", "/nowhere"], 1, "no linkpulse in /nowhere"),
        (["--from", "/nowhere/linkpulse-1-py3-none-any.whl"], 1, "no linkpulse in /nowhere/linkpulse-1"),
    ],
)
def test_a_mistake_is_one_line_and_changes_nothing(
    options: list[str], status: int, reason: str, tmp_path: Path
) -> None:
    done = install("--root", tmp_path, *options)

    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith(f"install.sh: {reason}")
    assert len(done.stderr.splitlines()) == 1
    assert [*tmp_path.iterdir()] == []


def test_a_root_that_is_not_there_is_not_made() -> None:
    done = install("--root", "/nowhere")

    assert (done.returncode, done.stderr) == (2, "install.sh: --root /nowhere is not a folder\n")


def test_an_unfit_interpreter_is_named(tmp_path: Path) -> None:
    for name, answer, reason in (
        ("absent", None, "is missing; install it with: apt-get install python3"),
        (
            "old",
            'case "$1" in -V) echo Python 3.9.2 ;; *) exit 1 ;; esac',
            "Python 3.9.2 is not 3.11 to 3.13",
        ),
        ("bare", 'case "$2" in *ensurepip*) exit 1 ;; esac', "python's venv module is missing"),
    ):
        program = tmp_path / name
        if answer is not None:
            program.write_text(f"#!/bin/sh\n{answer}\n")
            program.chmod(0o755)
        done = install("--root", tmp_path, python=str(program))
        assert done.returncode == 1
        assert reason in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_without_root_it_says_sudo_and_does_nothing() -> None:
    """The script is read on standard input: somebody else may not be allowed into the checkout."""
    command = ["sh", "-s", "--", "--no-start"]
    done = subprocess.run(
        command, input=SCRIPT.read_text(), user=65534, cwd="/", capture_output=True, text=True, timeout=60
    )

    assert (done.returncode, done.stderr) == (1, "install.sh: needs root: run it with sudo\n")


def test_help_names_every_option_that_the_script_takes() -> None:
    script = SCRIPT.read_text(encoding="utf-8")
    said = install("--help").stdout
    taken = {
        "--from",
        "--config",
        "--certs",
        "--root",
        "--with-aws",
        "--with-path",
        "--no-start",
        "--uninstall",
        "--purge",
    }

    assert all(f"{option}" in said and script.count(option) > 1 for option in taken)


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck_finds_nothing() -> None:
    done = subprocess.run(["shellcheck", str(SCRIPT)], capture_output=True, text=True, timeout=60)

    assert done.stdout == ""
