"""The unit: systemd knows every setting, the sandbox is tight, and nothing can hold up the start."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent import farewell, status, status_command

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNIT = SYSTEMD / "edge-agent.service"
MAX_EXPOSURE = 2.0

analyzed = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
as_root = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("systemd-sysusers"), reason="needs root and systemd-sysusers"
)


def settings() -> dict[str, dict[str, list[str]]]:
    """Section to key to all its values, in order."""
    found: dict[str, dict[str, list[str]]] = {}
    section = ""
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(section, {}).setdefault(key, []).append(value)
    return found


def one(section: str, key: str) -> str:
    (value,) = settings()[section][key]
    return value


def complaints(folder: Path, change: Callable[[str], str] = str) -> list[str]:
    """What systemd says of the unit, whose program is put where this machine has one."""
    text = UNIT.read_text(encoding="utf-8").replace("/opt/edge-agent/venv/bin/edge-agent", sys.executable)
    unit = folder / UNIT.name
    unit.write_text(change(text), encoding="utf-8")
    command = ["systemd-analyze", "verify", "--man=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return [line for line in done.stderr.splitlines() if UNIT.name in line]


@analyzed
def test_systemd_knows_every_setting_of_the_unit(tmp_path: Path) -> None:
    assert complaints(tmp_path) == []


@analyzed
def test_a_misspelt_setting_would_be_noticed(tmp_path: Path) -> None:
    """systemd only warns of one, and exits 0: so the test above reads what it says."""
    assert complaints(tmp_path, lambda text: text.replace("PrivateTmp=", "PrivateTemp="))


@analyzed
def test_the_exposure_is_at_most_two_of_ten() -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT)]
    verdict = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    level = re.search(r"Overall exposure level for \S+: (\d+\.\d+)", verdict)

    assert level is not None, verdict
    assert float(level[1]) <= MAX_EXPOSURE


def test_the_agent_reports_itself_and_is_watched() -> None:
    assert one("Service", "Type") == "notify"
    assert int(one("Service", "WatchdogSec")) > 0


def test_the_agent_runs_as_its_own_user_with_two_capabilities() -> None:
    """Raw sockets, and the reflector's port 862; nothing that changes the machine."""
    assert one("Service", "User") == one("Service", "Group") == "edge-agent"
    assert one("Service", "AmbientCapabilities") == "CAP_NET_RAW CAP_NET_BIND_SERVICE"
    assert one("Service", "CapabilityBoundingSet") == "CAP_NET_RAW CAP_NET_BIND_SERVICE"
    assert one("Service", "StateDirectoryMode") == "0700"


def test_packet_sockets_are_allowed_for_arp_and_lldp() -> None:
    assert "AF_PACKET" in one("Service", "RestrictAddressFamilies").split()


def test_a_child_that_is_killed_for_memory_does_not_end_the_agent() -> None:
    assert one("Service", "OOMPolicy") == "continue"


def test_whoever_is_logged_in_may_read_the_status_also_after_a_stop() -> None:
    assert one("Service", "RuntimeDirectory") == "edge-agent"
    assert one("Service", "RuntimeDirectoryMode") == "0755"
    assert one("Service", "RuntimeDirectoryPreserve") == "yes"
    assert Path("/run") / one("Service", "RuntimeDirectory") / status.NAME == status_command.SERVICE


def test_the_agent_ends_by_itself_before_systemd_loses_its_patience() -> None:
    assert int(one("Service", "TimeoutStopSec")) > farewell.STOP_S


def test_a_fault_restarts_for_ever_and_a_bad_config_never() -> None:
    assert one("Service", "Restart") == "on-failure"
    assert one("Service", "RestartPreventExitStatus").split() == ["78"]
    assert one("Unit", "StartLimitIntervalSec") == "0"


def test_the_start_waits_for_neither_a_network_nor_a_right_clock() -> None:
    """systemd.special(7): time-sync.target may be held until a time server has answered."""
    names = " ".join(value for values in settings()["Unit"].values() for value in values).split()

    assert not {"network-online.target", "time-sync.target"} & set(names)
    assert not {"Requires", "Requisite", "BindsTo"} & set(settings()["Unit"])


def test_the_clock_can_be_asked_whether_it_is_synchronised_but_not_set() -> None:
    service = settings()["Service"]

    assert "adjtimex" in service["SystemCallFilter"][-1].split()
    assert "ProtectClock" not in service, "it would refuse the question too"
    assert "CAP_SYS_TIME" not in one("Service", "CapabilityBoundingSet")


def test_unit_and_installer_agree_on_every_path() -> None:
    script = (SYSTEMD / "install.sh").read_text(encoding="utf-8")
    program, *arguments = shlex.split(one("Service", "ExecStart"))

    assert program == "/opt/edge-agent/venv/bin/edge-agent"
    assert arguments == ["run", "--config", "/etc/edge-agent/agent.toml"]
    assert one("Service", "EnvironmentFile") == "-/etc/default/edge-agent"
    assert one("Service", "StateDirectory") == "edge-agent"
    for path in ("/opt/edge-agent", "/etc/edge-agent", "/etc/default/edge-agent", "/var/lib/edge-agent"):
        assert path in script


@as_root
def test_the_user_and_the_folders_are_made_as_declared(tmp_path: Path) -> None:
    key = tmp_path / "etc" / "edge-agent" / "gateway.key"
    key.parent.mkdir(parents=True)
    key.touch(0o644)
    spool = tmp_path / "var" / "lib" / "edge-agent" / "spool" / "journal-00000001.log"
    spool.parent.mkdir(parents=True, mode=0o700)
    spool.touch()
    root = f"--root={tmp_path}"
    for command in (
        ["systemd-sysusers", root, str(SYSTEMD / "edge-agent.sysusers")],
        ["systemd-tmpfiles", root, "--create", str(SYSTEMD / "edge-agent.tmpfiles")],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr

    users = dict(line.split(":", 1) for line in (tmp_path / "etc/passwd").read_text().splitlines())
    _, uid, _, _, home, shell = users["edge-agent"].split(":")
    assert (home, shell) == ("/var/lib/edge-agent", "/usr/sbin/nologin")
    state = spool.parents[1]
    owned = (key, spool, spool.parent, state)
    assert {each.stat().st_uid for each in owned} == {int(uid)}
    assert key.stat().st_mode & 0o777 == 0o600
    assert state.stat().st_mode & 0o777 == 0o700
