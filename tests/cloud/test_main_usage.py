"""`linkview` used wrongly: exit codes, one line of reason, and no import of what is not meant."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cloud import __main__ as linkview


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 2),
        (["nonsense"], 2),
        (["links", "--sort", "best"], 2),
        (["links", "--limit", "-1"], 2),
        # With 0 it would say that nothing is quarantined.
        (["quarantine", "list", "--limit", "0"], 2),
    ],
)
def test_a_wrong_command_line_is_exit_2(
    arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        linkview.main(arguments)
    assert raised.value.code == code
    assert "usage: linkview" in capsys.readouterr().err


def test_a_wrong_time_is_exit_2_before_anything_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert linkview.main(["history", "x", "--since", "soon", "--stack", "nowhere"]) == 2
    assert "'soon' is no time" in capsys.readouterr().err


def test_a_stack_that_is_not_there_is_one_line_and_exit_1(
    aws: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert linkview.main(["links", "--stack", "nowhere"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("linkview: there is no stack nowhere on AWS")
    assert said.err.count("\n") == 1


SAYS = ("print('x' * 10_000_000)", "display.console().print('x' * 300_000)")
"""What a command prints by itself, and through a console."""


def talker(says: str, stdout: int) -> subprocess.Popen[bytes]:
    """`linkview` with a command that says something."""
    code = (
        "import sys, types\nfrom cloud import __main__ as linkview\nfrom cloud import display\n"
        "fake = types.ModuleType('fake')\n"
        "fake.add_parser = lambda subparsers: subparsers.add_parser('talk')\n"
        f"fake.run = lambda args: {says} or 0\n"
        "sys.modules['fake'] = fake\nlinkview.COMMANDS['talk'] = 'fake'\n"
        "sys.exit(linkview.main(['talk']))"
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=stdout, stderr=subprocess.PIPE)


@pytest.mark.parametrize("says", SAYS)
def test_a_reader_that_goes_away_ends_linkview_in_silence(says: str) -> None:
    with talker(says, subprocess.PIPE) as talking:
        assert talking.stdout is not None
        assert talking.stderr is not None
        assert talking.stdout.read(1) == b"x"
        talking.stdout.close()
        assert talking.stderr.read() == b""
    assert talking.returncode == 0


@pytest.mark.parametrize("says", SAYS)
def test_an_output_that_is_full_is_one_line_and_exit_1(says: str) -> None:
    with Path("/dev/full").open("w") as full, talker(says, full.fileno()) as talking:
        assert talking.stderr is not None
        assert talking.stderr.read() == b"linkview: output: No space left on device\n"
    assert talking.returncode == 1


def test_an_output_that_is_closed_is_no_failure() -> None:
    command = [sys.executable, "-m", "cloud", "plan", "--gateways", "1"]
    done = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *command], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_only_the_command_that_is_meant_is_imported() -> None:
    code = (
        "import sys\nfrom cloud.__main__ import main\n"
        "main(['history', 'x', '--local', '/nonexistent'])\n"
        "assert 'cloud.history' in sys.modules and 'cloud.audit' not in sys.modules\n"
        "assert 'cryptography' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "no local cloud in /nonexistent" in done.stderr
