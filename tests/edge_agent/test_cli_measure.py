"""`edge-agent once` and `edge-agent probe`: what they print and how they end, as a user meets them."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_agent.contract import KINDS
from tests.edge_agent.running import Run


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
