"""`edge-agent decode`, version and help; closed streams, full disks and usage errors."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.contract import Batch, Link, Reading, encode, encode_json
from tests.edge_agent.running import Run

Echo = Callable[..., Reading]


@pytest.fixture
def batch(echo: Echo) -> Batch:
    return Batch("gw-1", 7, 3, 1_790_000_000_000, (echo(0), echo(1)), (Link("north"),))


@pytest.mark.parametrize("form", [encode, encode_json])
def test_decode_prints_either_form_from_a_file_and_from_a_pipe(
    form: Callable[[Batch], bytes], run: Run, batch: Batch, tmp_path: Path
) -> None:
    (tmp_path / "payload").write_bytes(form(batch))
    done = run("decode", "payload")
    assert done.returncode == 0
    assert json.loads(done.stdout) == json.loads(encode_json(batch))
    assert run("decode", "-", stdin=form(batch)).stdout == done.stdout


@pytest.mark.parametrize("data", [b"", b"{", b"\x02\0\0\0\0", b"\x01\0\0\0\0garbage", os.urandom(2000)])
def test_decode_of_anything_else_is_one_line_and_exit_65(run: Run, data: bytes) -> None:
    done = run("decode", "-", stdin=data)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (65, "", 1)
    assert done.stderr.startswith("-: ")


def test_decode_of_a_missing_file_is_one_line_and_exit_66(run: Run) -> None:
    done = run("decode", "missing")
    assert (done.returncode, done.stderr) == (66, "missing: No such file or directory\n")


def test_a_reader_that_goes_away_is_no_error(batch: Batch, tmp_path: Path) -> None:
    (tmp_path / "payload").write_bytes(encode(batch))
    decode = f"{sys.executable} -m edge_agent decode {tmp_path}/payload"
    command = f"{decode} | head -c 1 >/dev/null; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("command", ["version", "once", "decode -"])
def test_a_closed_standard_stream_is_no_error(command: str, closed: str, checked: Path) -> None:
    script = f"{sys.executable} -m edge_agent {command} {closed}"
    environment = {**os.environ, "EDGE_AGENT_CONFIG": str(checked)}
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode in ((65,) if command == "decode -" else (0,))
    assert "Traceback" not in done.stderr


def test_a_full_disk_behind_standard_output_is_one_line(run: Run) -> None:
    script = f"{sys.executable} -m edge_agent version >/dev/full"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "edge-agent: [Errno 28] No space left on device\n")


def test_version_names_agent_contract_and_python(run: Run) -> None:
    assert re.fullmatch(r"edge-agent \S.*, wire contract 1, Python 3\.\d+\.\d+\n", run("version").stdout)


def test_help_lists_every_command(run: Run) -> None:
    printed = run("--help").stdout
    for command in ("run", "check", "once", "probe", "reflect", "decode", "version"):
        assert re.search(rf"^ +{command} ", printed, re.MULTILINE)
        assert run(command, "--help").returncode == 0


@pytest.mark.parametrize(
    "arguments", [(), ("nonsense",), ("decode",), ("probe", "smoke", "x"), ("run", "--x")]
)
def test_what_is_no_command_is_a_usage_error(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).returncode == 2


@pytest.mark.parametrize(
    ("command", "unwanted"),
    [
        ("version", {"asyncio", "sqlite3", "psutil", "paho", "awscrt"}),
        ("check", {"sqlite3", "psutil", "paho", "awscrt", "boto3"}),
    ],
)
def test_a_short_command_imports_little(command: str, unwanted: set[str], checked: Path) -> None:
    arguments = [command] if command == "version" else [command, str(checked)]
    code = (
        "import sys; from edge_agent.__main__ import main; "
        f"main({arguments!r}); print(*sorted({unwanted!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""
