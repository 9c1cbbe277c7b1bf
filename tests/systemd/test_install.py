"""install.sh: run for real into a folder; the agent that it installed starts, reports and stops."""

import secrets
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systemd.installing import CONFIG, FORMER_SPOOL, KEY, PYTHON, SPOOL, SYSTEMD, UNIT, install, mode


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A tree with a first installation from the checkout, and what the installer said."""
    root = tmp_path_factory.mktemp("root")
    done = install("--root", root)
    assert done.returncode == 0, done.stderr
    return root, done.stdout


@pytest.fixture
def root(fresh: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of the first installation, to change."""
    return Path(shutil.copytree(fresh[0], tmp_path / "root", symlinks=True))


# --- what a first installation leaves -------------------------------------------------------------


def test_a_first_installation_brings_everything_and_says_what_is_next(fresh: tuple[Path, str]) -> None:
    root, said = fresh

    assert (root / UNIT).read_bytes() == (SYSTEMD / "edge-agent.service").read_bytes()
    assert (root / CONFIG).read_bytes() == (SYSTEMD / "agent.toml").read_bytes()
    assert (root / "etc/sysusers.d/edge-agent.conf").exists()
    assert (root / "etc/tmpfiles.d/edge-agent.conf").exists()
    assert mode(root / SPOOL.parent) == 0o700
    assert "still the sample" in said
    assert "linkview gateways add" in said


def test_the_staged_command_names_the_place_where_it_will_lie(fresh: tuple[Path, str]) -> None:
    root, _ = fresh
    command = root / "opt/edge-agent/venv/bin/edge-agent"

    assert command.read_text().splitlines()[0] == "#!/opt/edge-agent/venv/bin/python"
    assert (root / "usr/local/bin/edge-agent").readlink() == Path("/opt/edge-agent/venv/bin/edge-agent")
    assert str(root) not in command.read_text()


def test_the_sample_is_complete_but_for_the_files_that_enrolment_brings(fresh: tuple[Path, str]) -> None:
    root, _ = fresh
    command = [str(root / PYTHON), "-m", "edge_agent", "check", str(root / CONFIG)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)

    assert done.returncode == 78
    assert all("No such file" in line for line in done.stderr.splitlines()), done.stderr


# --- enrolment, upgrades, removal -----------------------------------------------------------------


def test_an_enrolled_gateways_files_get_their_modes(root: Path, enrolled: Path, wheel: Path) -> None:
    files = ("--config", enrolled / "agent.toml", "--certs", enrolled)
    done = install("--root", root, "--from", wheel, *files)

    assert done.returncode == 0, done.stderr
    assert "start it with: systemctl enable --now edge-agent" in done.stdout
    assert (root / CONFIG).read_bytes() == (enrolled / "agent.toml").read_bytes()
    assert (root / CONFIG).with_name("agent.toml.old").read_bytes() == (SYSTEMD / "agent.toml").read_bytes()
    assert mode(root / KEY) == 0o600
    assert mode(root / KEY.with_name("gateway.pem")) == 0o644
    assert not (root / KEY.with_name("note.txt")).exists()


def test_a_second_run_keeps_the_config_the_key_and_the_spool(root: Path, enrolled: Path, wheel: Path) -> None:
    for name in ("agent.toml", "ca.pem", "gateway.pem", "gateway.key"):
        shutil.copy(enrolled / name, root / CONFIG.parent)
    journal = SPOOL / "journal-00000001.log"
    (root / SPOOL).mkdir()
    for spool in (journal, FORMER_SPOOL):
        (root / spool).write_bytes(b"readings")
    before = {file: (root / file).read_bytes() for file in (CONFIG, KEY, journal, FORMER_SPOOL)}
    done = install("--root", root, "--from", wheel)

    assert done.returncode == 0, done.stderr
    assert {file: (root / file).read_bytes() for file in before} == before


def test_a_bad_config_is_named_and_keeps_the_agent_from_starting(
    root: Path, enrolled: Path, wheel: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "agent.toml"
    bad.write_text((enrolled / "agent.toml").read_text() + "\n[spool]\nmax_mb = 5\n")
    done = install("--root", root, "--from", wheel, "--config", bad, "--certs", enrolled)

    assert done.returncode == 78
    assert "max_mb: unknown key; did you mean max_mib?" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("install.sh: installed, not started")


def test_the_variables_of_the_service_are_read_and_never_run(
    root: Path, enrolled: Path, wheel: Path, tmp_path: Path
) -> None:
    """systemd takes NAME=VALUE from this file; a shell that sourced it as root would run what it holds."""
    defaults = root / "etc/default/edge-agent"
    defaults.parent.mkdir(parents=True)
    trap = tmp_path / "trap"
    defaults.write_text(
        f"# a comment\n  EDGE_AGENT_LOG__LEVEL=\"debug\"\nEDGE_AGENT_SPOOL__MAX_MIB='many'\n"
        f"EDGE_AGENT_LOG__X=$(touch {trap})\ntouch {trap}\nPATH=/nowhere\nLD_PRELOAD=/nowhere.so"
    )
    done = install("--root", root, "--from", wheel, "--config", enrolled / "agent.toml", "--certs", enrolled)

    assert not trap.exists()
    assert done.returncode == 78
    assert "EDGE_AGENT_SPOOL__MAX_MIB: [spool] max_mib 'many' is not an integer" in done.stderr, done.stderr
    assert "LD_PRELOAD" not in done.stderr


def test_a_bad_config_does_not_take_the_place_of_a_good_one(
    root: Path, enrolled: Path, wheel: Path, tmp_path: Path
) -> None:
    good = enrolled / "agent.toml"
    assert install("--root", root, "--from", wheel, "--config", good, "--certs", enrolled).returncode == 0
    bad = tmp_path / "agent.toml"
    bad.write_text(good.read_text() + "\n[spool]\nmax_mb = 5\n")
    done = install("--root", root, "--from", wheel, "--config", bad)

    assert done.returncode == 78
    assert (root / CONFIG).read_bytes() == good.read_bytes()
    assert (root / CONFIG).with_name("agent.toml.refused").read_bytes() == bad.read_bytes()
    assert "agent.toml.refused" in done.stderr.splitlines()[-1]


def test_uninstall_keeps_what_cannot_be_had_again_and_purge_does_not(root: Path) -> None:
    (root / KEY).write_text("key")
    (root / SPOOL).mkdir()
    (root / SPOOL / "journal-00000001.log").write_text("readings")
    removed = install("--root", root, "--uninstall")

    assert removed.returncode == 0
    assert not (root / "opt/edge-agent").exists()
    assert not (root / UNIT).exists()
    assert (root / KEY).exists()
    assert (root / SPOOL / "journal-00000001.log").exists()
    assert "kept:" in removed.stdout

    assert install("--root", root, "--purge").returncode == 0
    assert [path for path in root.rglob("*") if path.is_file() or path.is_symlink()] == []


def test_removing_what_is_not_installed_is_no_error(tmp_path: Path) -> None:
    assert install("--root", tmp_path, "--purge").returncode == 0


# --- the installed agent --------------------------------------------------------------------------


class NotifySocket:
    """The receiving end of sd_notify(3)."""

    def __init__(self) -> None:
        self.address = f"@linkpulse-test-{secrets.token_hex(8)}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(30)
        self._socket.bind("\0" + self.address[1:])

    def wait_for(self, state: str) -> None:
        """Return when the state has been reported; raises TimeoutError when nothing at all comes any more."""
        while state not in self._socket.recv(4096).decode().splitlines():
            pass

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


@pytest.fixture
def notify_socket() -> Iterator[NotifySocket]:
    """A socket for NOTIFY_SOCKET."""
    listening = NotifySocket()
    yield listening
    listening.close()


def test_the_installed_agent_reports_ready_and_alive_reloads_and_ends_cleanly(
    root: Path, enrolled: Path, notify_socket: NotifySocket
) -> None:
    """The unit's own command, in the staged tree, with no broker in reach."""
    for name in ("ca.pem", "gateway.pem", "gateway.key"):
        shutil.copy(enrolled / name, root / CONFIG.parent)
    spool = f'\n[spool]\npath = "{root / SPOOL}"\n'
    (root / CONFIG).write_text((enrolled / "agent.toml").read_text() + spool)
    (line,) = [line for line in (root / UNIT).read_text().splitlines() if line.startswith("ExecStart=")]
    program, *arguments = shlex.split(line.removeprefix("ExecStart="))
    # The script's first line names /opt: in the staged tree its interpreter is called instead.
    command = [str(root / PYTHON), f"{root}{program}", *arguments[:-1], f"{root}{arguments[-1]}"]
    environment = {"NOTIFY_SOCKET": notify_socket.address, "WATCHDOG_USEC": "400000", "PATH": "/usr/bin:/bin"}

    with subprocess.Popen(command, cwd="/", env=environment, stderr=subprocess.PIPE, text=True) as agent:
        try:
            notify_socket.wait_for("READY=1")
            notify_socket.wait_for("WATCHDOG=1")
            agent.send_signal(signal.SIGHUP)
            notify_socket.wait_for("RELOADING=1")
            notify_socket.wait_for("READY=1")
            agent.send_signal(signal.SIGTERM)
            notify_socket.wait_for("STOPPING=1")
            assert agent.wait(60) == 0
        finally:
            agent.kill()
        assert agent.stderr is not None
        assert "Traceback" not in agent.stderr.read()
    assert (root / SPOOL).exists()
