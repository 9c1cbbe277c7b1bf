"""`linkview` used wrongly: exit codes, one line of reason, and no import of what is not meant."""

from __future__ import annotations

import subprocess
import sys

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


def test_a_reader_that_goes_away_ends_linkview_in_silence() -> None:
    code = (
        "import sys, types\nfrom cloud import __main__ as linkview\n"
        "fake = types.ModuleType('fake')\n"
        "fake.add_parser = lambda subparsers: subparsers.add_parser('talk')\n"
        "fake.run = lambda args: print('x' * 10_000_000) or 0\n"
        "sys.modules['fake'] = fake\nlinkview.COMMANDS['talk'] = 'fake'\n"
        "sys.exit(linkview.main(['talk']))"
    )
    talker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert talker.stdout is not None
    assert talker.stderr is not None
    assert talker.stdout.read(1) == b"x"
    talker.stdout.close()
    assert talker.stderr.read() == b""
    talker.stderr.close()
    assert talker.wait(60) == 0


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
