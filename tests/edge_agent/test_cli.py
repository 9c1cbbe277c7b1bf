"""The command line: what each command prints and how it ends, as a user meets it."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_agent.__main__ import main
from edge_agent.contract import KINDS, Batch, Flag, Link, Outcome, Reading, encode, encode_json, not_measured
from edge_agent.display import report, summary, table, verdict

Echo = Callable[..., Reading]
Run = Callable[..., subprocess.CompletedProcess[str]]

FOLDER = Path(__file__).parent.parent / "config"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs edge-agent to its end; what it printed is text."""

    def make(*arguments: str, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "edge_agent", *arguments],
            input=stdin,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": str(FOLDER.parent.parent), "COLUMNS": "100", **environment},
            cwd=tmp_path,
            check=False,
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    return make


@pytest.fixture
def checked(config_file: Any) -> Path:
    """A configuration whose credentials exist."""
    path: Path = config_file(8883, extra='[[link]]\nid = "south"\ninterface = "lo"\nprobes = ["interface"]\n')
    return path


# --- check ----------------------------------------------------------------------------------------


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


# --- once and probe -------------------------------------------------------------------------------


def test_once_prints_an_aligned_table_without_colour_into_a_pipe(run: Run, checked: Path) -> None:
    done = run("once", "--config", str(checked))
    assert (done.returncode, done.stderr) == (0, "")
    header, north, south = done.stdout.splitlines()
    assert header.split() == ["LINK", "PROBE", "STATE", "MEASURED"]
    assert north.startswith("north") and re.search(r"\d/5 replies, rtt [\d.-]+/[\d.-]+/[\d.-]+ ms", north)
    assert south.startswith("south") and "up, speed not reported" in south
    assert {line.index(word) for line, word in ((header, "MEASURED"), (south, "up,"))} == {
        header.index("MEASURED")
    }
    assert "\033" not in done.stdout


def test_once_in_json_needs_no_credentials(run: Run, checked: Path) -> None:
    done = run("once", "--json", "--config", str(checked), "--set", "mqtt.key=/nonexistent")
    assert done.returncode == 0
    assert {reading["link"]: reading["kind"] for reading in json.loads(done.stdout)} == {
        "north": "echo",
        "south": "interface",
    }


def test_once_says_what_was_not_measured_and_exits_1(run: Run, config_file: Any) -> None:
    path = config_file(8883, extra='[[link]]\nid = "gone"\ninterface = "nope"\nprobes = ["interface"]\n')
    done = run("once", "--config", str(path))
    assert done.returncode == 1
    assert re.search(r"^gone +interface +no interface +not measured$", done.stdout, re.MULTILINE)
    assert done.stderr.startswith("interface of gone: no_interface: ")
    assert done.stderr.count("\n") == 1


def test_once_is_coloured_on_a_terminal(checked: Path) -> None:
    leader, follower = pty.openpty()
    subprocess.run(
        [sys.executable, "-m", "edge_agent", "once", "--config", str(checked)],
        stdout=follower,
        env={key: value for key, value in os.environ.items() if key != "NO_COLOR"},
        check=False,
    )
    os.close(follower)
    printed = os.read(leader, 65_536).decode()
    os.close(leader)
    assert "\033[1mLINK" in printed
    assert "\033[32mok\033[0m" in printed


@pytest.mark.parametrize("kind", ["icmp", "echo"])
def test_probe_prints_a_summary_with_units_and_the_source_of_its_timestamps(kind: str, run: Run) -> None:
    done = run("probe", kind, "127.0.0.1", "--count", "3", "--interval", "0.01")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "--- echo 127.0.0.1 ---"
    assert lines[1] == "3 sent, 3 received, 0 % lost"
    assert re.fullmatch(r"rtt min/p50/mean/max/stddev = [\d.]+(/[\d.]+){4} ms", lines[2])
    assert re.fullmatch(
        r"timestamps: sending (kernel|user space), receiving (kernel|user space); clock (not )?synchronised",
        lines[-1],
    )


def test_probe_in_json_is_the_reading(run: Run) -> None:
    done = run("probe", "icmp", "127.0.0.1", "--count", "2", "--json")
    reading = json.loads(done.stdout)
    assert (reading["kind"], reading["sent"], reading["received"]) == ("echo", 2, 2)
    assert set(reading) > {column.name for column in KINDS["echo"].columns}


def test_probe_of_a_closed_port_is_a_result_with_exit_1(run: Run, closed_port: int) -> None:
    done = run("probe", "tcp", "127.0.0.1", "--port", str(closed_port), "--count", "1")
    assert (done.returncode, done.stderr) == (1, "")
    assert "1 tried, 0 connected, 1 refused, 0 without answer" in done.stdout


def test_probe_of_an_interface_reports_what_passed(run: Run) -> None:
    done = run("probe", "interface", "lo", "--interval", "0.05")
    assert done.returncode == 0
    assert re.search(r"receiving [\d.e-]+ Mbit/s, sending [\d.e-]+ Mbit/s", done.stdout)
    assert re.search(r"^tx: \d+ packets, 0 errors, \d+ dropped$", done.stdout, re.MULTILINE)


def test_probe_that_could_not_measure_is_one_line_and_another_status(run: Run) -> None:
    done = run("probe", "icmp", "host.invalid")
    assert (done.returncode, done.stdout) == (68, "")
    assert done.stderr.startswith("echo of host.invalid: unresolved: ")
    assert done.stderr.count("\n") == 1
    done = run("probe", "interface", "nope", "--json")
    assert done.returncode == 69
    assert json.loads(done.stdout)["outcome"] == "no_interface"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("icmp", "127.0.0.1", "--count", "0"), "--count: [probe.echo] count is 0, not 1 to 100\n"),
        (("icmp", "127.0.0.1", "--port", "7"), "--port: [probe.echo] port: unknown key\n"),
        (
            ("icmp", "x", "--set", "sise=9"),
            "--set sise: [probe.echo] sise: unknown key; did you mean size?\n",
        ),
        (("icmp", "x", "--set", "size"), "--set size: not KEY=VALUE\n"),
        (
            ("icmp", "x", "--next-hop", "r1"),
            "--next-hop: edge-agent probe next_hop 'r1' is not an IP address\n",
        ),
        (("icmp",), "edge-agent probe icmp: TARGET is missing\n"),
        (("load", "x"), "edge-agent probe load: --interface is missing: whose traffic is the load?\n"),
        (("tcp", "127.0.0.1", "--port", "0"), "--port: [probe.connect] port is 0, not 1 to 65535\n"),
    ],
)
def test_probe_refuses_what_makes_no_sense(run: Run, arguments: tuple[str, ...], complaint: str) -> None:
    done = run("probe", *arguments)
    assert (done.returncode, done.stderr) == (2, complaint)


@pytest.mark.parametrize("value", ["0", "-1", "x", "nan"])
def test_an_interval_that_is_no_time_is_a_usage_error(run: Run, value: str) -> None:
    assert run("probe", "icmp", "127.0.0.1", "--interval", value).returncode == 2


# --- decode, version, help ------------------------------------------------------------------------


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


# --- the words ------------------------------------------------------------------------------------


def reading(kind: str, **values: int) -> Reading:
    columns = KINDS[kind].columns
    return Reading("north", kind, 0, tuple(values.get(column.name) for column in columns), Flag.NONE)


def test_loss_is_of_what_had_its_time_and_never_of_what_is_in_flight() -> None:
    late = reading("echo", sent=10, received=6, late=1, in_flight=2, duplicate=0, corrupt=0, rtt_min_us=1000)
    assert report("x", late)[1] == "10 sent, 6 received, 12.5 % lost, 1 late, 2 still in flight"
    assert report("x", reading("echo", sent=2, received=0, in_flight=2))[1].startswith(
        "2 sent, 0 received, loss not known"
    )


def test_what_was_not_measured_is_never_a_figure() -> None:
    denied = not_measured("north", "echo", 0, Outcome.DENIED)
    assert (verdict(denied), summary(denied)) == ("denied", "not measured")
    assert report("echo x", denied) == ["echo x: not measured: denied"]


@pytest.mark.parametrize(
    ("given", "word", "line"),
    [
        (
            reading("echo", sent=5, received=5, rtt_min_us=1000, rtt_p50_us=1500, rtt_max_us=2000),
            "ok",
            "5/5 replies, rtt 1.000/1.500/2.000 ms (min/p50/max)",
        ),
        (reading("echo", sent=5, received=4), "degraded", "4/5 replies, rtt -/-/- ms (min/p50/max)"),
        (reading("echo", sent=5, received=0), "down", "0/5 replies, rtt -/-/- ms (min/p50/max)"),
        (
            reading("connect", sent=3, connected=3, connect_min_us=1, connect_p50_us=2, connect_max_us=3),
            "ok",
            "3/3 connected, 0.001/0.002/0.003 ms (min/p50/max)",
        ),
        (
            reading("interface", up=1, speed_kbps=100_000, full_duplex=1, mtu=1500),
            "ok",
            "up, 100 Mbit/s full duplex, MTU 1500 B, counters from the next round on",
        ),
        (
            reading(
                "interface", up=0, mtu=1500, period_ms=2000, rx_bytes=250_000, tx_bytes=500_000, full_duplex=0
            ),
            "down",
            "down, speed not reported half duplex, MTU 1500 B, receiving 1 Mbit/s, sending 2 Mbit/s",
        ),
    ],
)
def test_a_reading_in_one_word_and_one_line(given: Reading, word: str, line: str) -> None:
    assert (verdict(given), summary(given)) == (word, line)


def test_columns_align_whatever_they_hold() -> None:
    class Plain:
        def paint(self, text: str, colour: str) -> str:
            return text

    lines = table([("a", "long cell", "x"), ("longer", "b", "y")], ("ONE", "TWO", "THREE"), Plain())  # type: ignore[arg-type]
    assert lines == ["ONE     TWO        THREE", "a       long cell  x", "longer  b          y"]


# --- status ---------------------------------------------------------------------------------------


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
