"""`edge-agent probe` for every kind: what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import pty
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent.probes.shared_key import check_key_file
from tests.edge_agent.netns import needs_netns, run_in_netns
from tests.edge_agent.running import Run


def test_the_host_needs_no_target_and_tells_its_memory(run: Run) -> None:
    done = run("probe", "host", "--interval", "0.05")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("--- host ---\nCPU ")
    assert re.search(r"^memory \S+ [MG]iB of \S+ [MG]iB free", done.stdout, re.MULTILINE)


def test_a_probe_of_several_readings_is_a_list_in_json(run: Run) -> None:
    if os.geteuid():
        pytest.skip("needs root: a raw socket")
    pytest.importorskip("scapy")
    done = run("probe", "path", "127.0.0.1", "--json")
    (hop,) = json.loads(done.stdout)
    assert (hop["kind"], hop["hop"], hop["hops"]) == ("path", 1, 1)


def test_latency_by_load_follows_echoes_on_the_interface(run: Run) -> None:
    done = run(
        "probe", "load", "127.0.0.1", "--interface", "lo", "--count", "1", "--set", "reference_kbps=1000000"
    )
    if "ICMP is not permitted" in done.stderr:
        pytest.skip("needs ICMP")
    assert done.returncode == 0, done.stderr
    assert "load is a part of 1 Gbit/s" in done.stdout
    assert re.search(r"^idle \(below 10 %\): 5 echoes, p50 [\d.]+ ms", done.stdout, re.MULTILINE)


def test_a_name_server_that_is_not_there_is_a_result(run: Run) -> None:
    done = run("probe", "dns", "127.0.0.1", "--port", "9", "--count", "1", "--timeout", "0.2")
    assert (done.returncode, done.stderr) == (1, "")
    assert "1 asked, 0 answered, 1 without answer, 0 corrupt" in done.stdout


def test_silence_says_what_to_look_at(run: Run) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = str(silent.getsockname()[1])
        done = run("probe", "STAMP", "127.0.0.1", "--port", port, "--count", "1", "--timeout", "0.2")
    assert (done.returncode, done.stderr) == (1, "")
    assert "not one reply in time: is 'edge-agent reflect' running there" in done.stdout.splitlines()[-1]


def test_what_nobody_answered_is_red_on_a_terminal() -> None:
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "edge_agent", "probe", "dns", "127.0.0.1", "--port", "9", "--count", "1"]
    subprocess.run(
        [*command, "--timeout", "1"],
        stdout=follower,
        env={key: value for key, value in os.environ.items() if key != "NO_COLOR"},
        check=False,
    )
    os.close(follower)
    printed = os.read(leader, 65_536).decode()
    os.close(leader)
    assert "\033[31m1 asked, 0 answered, 1 without answer, 0 corrupt\033[0m" in printed


@pytest.mark.parametrize("kind", ["interface", "neighbour"])
def test_what_is_not_measured_is_said_once(run: Run, kind: str) -> None:
    done = run("probe", kind, "nothere0")
    assert (done.returncode, done.stdout) == (69, "")
    assert (
        done.stderr == f"{kind} of nothere0: no_interface: there is no interface 'nothere0' on this machine\n"
    )


@pytest.mark.parametrize("command", [("probe", "stamp", "127.0.0.1"), ("reflect",)])
def test_a_key_file_that_is_not_there_is_no_input(run: Run, command: tuple[str, ...]) -> None:
    done = run(*command, "--key-file", "/nope")
    assert (done.returncode, done.stderr.count("\n")) == (66, 1)
    assert "cannot read key_file /nope: No such file or directory" in done.stderr


def test_a_key_that_others_can_read_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    key_file = tmp_path / "key"
    key_file.write_bytes(b"0123456789abcdef")
    for mode, warnings in ((0o600, 0), (0o644, 1)):
        key_file.chmod(mode)
        check_key_file(key_file)
        assert len(caplog.records) == warnings
    assert "can be read by others; chmod 600 it" in caplog.text


@needs_netns
def test_load_without_permission_to_ping_is_one_line_and_denied() -> None:
    script = """
    sys.stderr = sys.stdout
    from edge_agent.__main__ import main
    command = ["probe", "load", "127.0.0.1", "--interface", "lo", "--count", "2"]
    main(command)  # nobody may not read the modules that it imports
    allow_ping(1, 0)
    become_nobody()
    print("become nobody")
    print(main(command))
    """
    complaint, code = run_in_netns(script).partition("become nobody\n")[2].splitlines()
    assert complaint.startswith("echo of 127.0.0.1: denied: ") and code == "77"
