"""`edge-agent probe` for every kind, and `edge-agent reflect`: what they print, and how they end."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_agent.command_options import ALIASES, PROBE_KINDS
from edge_agent.config import ConfigError
from edge_agent.measure_options import NAMES, link_of, settings_of
from edge_agent.probes import SETTINGS, EchoSettings
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.shared_key import check_key_file
from edge_agent.reflect import described
from edge_agent.reflect import settings_of as reflector_settings
from tests.edge_agent.netns import needs_netns, run_in_netns

ROOT = Path(__file__).parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs edge-agent to its end; what it printed is text, and never a traceback."""

    def make(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "edge_agent", *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return make


def options(kind: str = "echo", target: str | None = "192.0.2.1", **given: object) -> Namespace:
    plain: dict[str, object] = dict.fromkeys(("count", "interval", "timeout", "port", "name", "key_file"))
    plain |= dict.fromkeys(("interface", "vlan", "source", "mark", "next_hop"))
    return Namespace(**{**plain, "kind": kind, "target": target, "set": [], **given})


# --- options --------------------------------------------------------------------------------------


def test_the_command_line_knows_every_probe_there_is() -> None:
    assert {NAMES[kind] for kind in (*PROBE_KINDS, *ALIASES)} == set(SETTINGS)


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_every_probe_has_settings_of_its_own_without_options(name: str) -> None:
    assert isinstance(settings_of(name, options(name)), SETTINGS[name])


def test_count_interval_and_timeout_make_a_round_that_gives_the_last_request_its_time() -> None:
    settings = settings_of("echo", options(count=20, interval=0.05, timeout=1.0))
    assert isinstance(settings, EchoSettings)
    assert (settings.count, settings.spacing_ms) == (20, 50)
    assert settings.wait_s == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("name", ["echo", "stamp", "connect", "dns"])
def test_a_hundred_requests_with_a_short_wait_still_fit_their_round(name: str) -> None:
    settings_of(name, options(name, count=100, timeout=0.001))


def test_any_setting_can_be_given_by_its_key() -> None:
    settings = settings_of("echo", options(set=["size=1000", "spacing=poisson"]))
    assert isinstance(settings, EchoSettings)
    assert (settings.size, settings.spacing) == (1000, "poisson")


def test_a_link_by_hand_is_kept_on_the_way_that_is_given() -> None:
    way = {"interface": "eth0", "vlan": "7", "source": "10.0.0.1", "mark": 5, "next_hop": "10.0.0.9"}
    expected = ProbedLink("192.0.2.1", "", "eth0", "10.0.0.9", "7", "192.0.2.1", source="10.0.0.1", mark=5)
    assert link_of("echo", options(**way)) == expected
    assert link_of("echo", options(**way)).device == "eth0.7"


@pytest.mark.parametrize("name", ["interface", "neighbour"])
def test_the_target_of_a_probe_of_an_interface_is_its_name(name: str) -> None:
    assert link_of(name, options(name, "eth0")) == ProbedLink("eth0", interface="eth0")


def test_what_is_wrong_with_options_is_said_of_all_of_them_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        settings_of("dns", options("dns", count=0, set=["record=MX"]))
    assert [each.partition(": [probe.dns] ")[0] for each in caught.value.problems] == [
        "--count",
        "--set record",
    ]
    with pytest.raises(ConfigError, match="target"):
        link_of("echo", options(target="x" * 256))


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("echo", {"vlan": "5"}, "--interface is missing: whose VLAN is 5"),
        (
            "http",
            {"target": "http://10.0.0.1/"},
            "not a host: give its name or address, and --port and --set",
        ),
        ("tcp", {"target": "10.0.0.1:80"}, "not a host: give its name or address, and --port"),
        ("tcp", {"target": "[::1]:80"}, "not a host"),
        ("echo", {"target": "a\udcff"}, r"TARGET is 'a\\udcff', which has bytes"),
        ("host", {"target": "extra"}, "it takes no TARGET"),
        ("host", {"target": None, "interface": "eth0"}, "it takes no TARGET and no way"),
        ("interface", {"target": "eth0", "interface": "eth1"}, "two interfaces"),
        ("interface", {"target": None}, "TARGET is missing"),
        ("load", {}, "--interface is missing"),
    ],
)
def test_what_is_no_target_or_no_way_is_said(kind: str, given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        link_of(NAMES[kind], options(kind, **given))


@pytest.mark.parametrize("target", ["fd00::1", "fe80::1%eth0", "name.example", "10.0.0.1"])
def test_addresses_and_names_are_targets(target: str) -> None:
    assert link_of("echo", options(target=target)).target == target


def test_the_interface_may_be_given_by_its_option() -> None:
    assert link_of("interface", options("interface", None, interface="eth0")).interface == "eth0"


# --- running them ---------------------------------------------------------------------------------


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
        [*command, "--timeout", "0.2"],
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


# --- reflect --------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as opened:
        opened.bind(("::", 0))
        return int(opened.getsockname()[1])


@pytest.fixture
def reflector(tmp_path: Path) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """`edge-agent reflect` on a free port, ready; it is ended when it still runs."""
    port = free_port()
    arguments = ["reflect", "--port", str(port), "--train-port", str(free_port()), "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_agent", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    assert first.startswith("answering on all addresses: STAMP on UDP "), first
    yield port, process
    if process.poll() is None:
        process.kill()
        process.wait()


def test_a_reflector_answers_stamp_and_tells_its_counters_at_the_end(
    run: Run, reflector: tuple[int, subprocess.Popen[str]]
) -> None:
    port, process = reflector
    arguments = ("stamp", "127.0.0.1", "--port", str(port), "--count", "5", "--interval", "0.01")
    measured = run("probe", *arguments, "--timeout", "1")
    assert measured.returncode == 0, measured.stderr
    assert measured.stdout.splitlines()[1] == "5 sent, 5 received, 0 % lost"
    assert re.search(r"^out: 0 lost", measured.stdout, re.MULTILINE)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, "Traceback" in err) == (0, False)
    assert sum(json.loads(out).values()) >= 5


def test_a_port_that_is_taken_is_one_line(run: Run) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as taken:
        taken.bind(("::", 0))
        done = run("reflect", "--port", str(taken.getsockname()[1]), "--train-port", str(free_port()))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (69, "", 1)
    assert done.stderr.startswith("edge-agent reflect: ")


def test_networks_that_are_none_are_a_usage_error(run: Run) -> None:
    done = run("reflect", "--allow", "10.0.0.1/8")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("--allow: [reflector] allow has '10.0.0.1/8', not a network")


def test_options_of_the_reflector_become_its_settings(tmp_path: Path) -> None:
    given = {"listen": "::1", "port": 1862, "train_port": None, "allow": ["::1/128"], "bulk": True}
    settings = reflector_settings(Namespace(**given, key_file=tmp_path / "key"))
    assert (settings.listen, settings.port, settings.train_port) == ("::1", 1862, 8620)
    assert (settings.allow, settings.bulk, settings.enabled) == (("::1/128",), True, True)
    assert settings.key_file == tmp_path / "key"


def test_counters_stand_in_line() -> None:
    assert described({"a": 1, "long.name": 20}) == ["a          1", "long.name  20"]
