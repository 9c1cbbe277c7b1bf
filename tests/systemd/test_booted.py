"""The installer and the unit in a booted Debian: real systemd, the whole sandbox, no network.

The tree is made once with debootstrap (about a minute, 300 MB) and kept in /var/cache;
a run boots it under an overlay that is thrown away.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[2] / "systemd"
SUITE = "bookworm"
PACKAGES = "systemd,systemd-sysv,python3,python3-venv"
TREE = Path("/var/cache") / f"linkpulse-debian-{SUITE}"

LINKS = """
[spool]
commit_s = 0.5

[probe.echo]
period_s = 1
timeout_s = 0.9
spacing_ms = 50

[probe.path]
period_s = 8
timeout_s = 8
hops = 2
wait_ms = 200

[probe.neighbour]
period_s = 8
timeout_s = 8
listen_s = 0

[[link]]
id = "gw-1:lo"
interface = "lo"
target = "127.0.0.1"
probes = ["echo", "interface", "path", "neighbour"]
"""

UNIT = """\
[Unit]
After=basic.target
[Service]
Type=oneshot
ExecStart=/bin/sh /trial/trial.sh
ExecStopPost=/bin/systemctl poweroff --no-block
StandardOutput=append:/out/facts
StandardError=append:/out/log
TimeoutStartSec=90
"""

TRIAL = r"""
fact() { echo "$1=$2"; }
show() { systemctl show edge-agent --property="$1" --value; }
until_true() { n=0; until "$@" >/dev/null 2>&1 || [ $n -ge 60 ]; do n=$((n + 1)); sleep 0.25; done; }
restarted() { [ "$(show NRestarts)" = 1 ] && systemctl is-active edge-agent; }
failed() { systemctl is-failed edge-agent; }

/trial/systemd/install.sh --from /trial/wheels --with-path --config /trial/gw-1/agent.toml \
    --certs /trial/gw-1 >&2
fact install $?
fact active "$(systemctl is-active edge-agent)"
fact enabled "$(systemctl is-enabled edge-agent)"

# The same command, but it also writes down what it measures.
mkdir -p /etc/systemd/system/edge-agent.service.d
truth=/var/lib/edge-agent/truth.jsonl
sed -n 's|^ExecStart=.*|[Service]\nExecStart=\n& --record '$truth'|p' \
    /etc/systemd/system/edge-agent.service >/etc/systemd/system/edge-agent.service.d/record.conf
systemctl daemon-reload
systemctl restart edge-agent
until_true grep -q '"kind": *"echo"' $truth
fact echo "$(grep -m 1 '"kind": *"echo"' $truth)"
until_true grep -q '"kind": *"path"' $truth
fact path "$(grep -m 1 '"kind": *"path"' $truth)"
until_true grep -q '"kind": *"neighbour"' $truth
fact neighbour "$(grep -m 1 '"kind": *"neighbour"' $truth)"
fact owner "$(stat -c %U:%a /var/lib/edge-agent/spool)"
until_true test -e /run/edge-agent/status.json
fact status "$(runuser -u nobody -- edge-agent status | head -n 1)"
fact key "$(stat -c %U:%a /etc/edge-agent/gateway.key)"

systemctl reload edge-agent
fact reload $?
kill -9 "$(show MainPID)"
until_true restarted
fact restarts "$(show NRestarts)"
systemctl stop edge-agent
fact stopped "$(show Result),$(show ExecMainStatus)"

sed -i s/commit_s/comit_s/ /etc/edge-agent/agent.toml
systemctl start edge-agent
fact bad_start $?
until_true failed
fact bad "$(show ExecMainStatus),$(show NRestarts)"

journalctl -u edge-agent --no-pager --output=cat >&2
/trial/systemd/install.sh --uninstall >&2
fact uninstall $?
fact unit "$(systemctl show edge-agent --property=LoadState --value)"
fact kept "$(ls -d /etc/edge-agent/gateway.key /var/lib/edge-agent/spool 2>/dev/null | wc -l)"
/trial/systemd/install.sh --purge >&2
fact purged "$(ls -d /etc/edge-agent /var/lib/edge-agent 2>/dev/null | wc -l)"
fact users "$(getent passwd edge-agent | wc -l)"
"""


def missing() -> str:
    """What this machine lacks to boot a container, or nothing."""
    if os.geteuid() != 0:
        return "needs root"
    tools = ("systemd-nspawn", "debootstrap")
    return ", ".join(f"{tool} is not installed" for tool in tools if not shutil.which(tool))


pytestmark = [
    pytest.mark.skipif(bool(missing()), reason=missing()),
    pytest.mark.timeout(600),  # the first run fetches Debian
]


@pytest.fixture(scope="module")
def tree() -> Path:
    """A small Debian with systemd and Python."""
    if not TREE.exists():
        draft = TREE.with_name(f"{TREE.name}.{os.getpid()}")
        command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(draft)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=500)
        if done.returncode:
            shutil.rmtree(draft, ignore_errors=True)
            pytest.skip(f"debootstrap: {(done.stdout + done.stderr).splitlines()[-1]}")
        draft.rename(TREE)
    return TREE


@pytest.fixture(scope="module")
def facts(
    tree: Path, wheel: Path, enrolled: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """What the trial found in the booted system."""
    trial, out = tmp_path_factory.mktemp("trial"), tmp_path_factory.mktemp("out")
    shutil.copytree(SYSTEMD, trial / "systemd")
    shutil.copytree(enrolled, trial / "gw-1")
    with (trial / "gw-1" / "agent.toml").open("a") as config:
        config.write(LINKS)
    (trial / "trial.sh").write_text(TRIAL)
    (trial / "trial.service").write_text(UNIT)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", "wheels", f"{wheel}[path]"]
    subprocess.run(command, cwd=trial, check=True, timeout=110)

    # Without a systemd on the host there is nobody to make a scope for the container.
    scope = [] if Path("/run/systemd/system").exists() else ["--keep-unit"]
    binds = [f"--bind-ro={trial}:/trial", f"--bind={out}:/out"]
    binds.append(f"--bind-ro={trial / 'trial.service'}:/etc/systemd/system/trial.service")
    isolation = ["--volatile=overlay", "--private-network", "--register=no"]
    boot = ["systemd-nspawn", "--quiet", "--boot", f"--directory={tree}", *isolation, *scope, *binds]
    done = subprocess.run(
        [*boot, "systemd.wants=trial.service"], stdin=subprocess.DEVNULL, capture_output=True, timeout=120
    )
    if not (out / "facts").exists():
        said = (done.stdout + done.stderr).decode(errors="replace").splitlines()
        pytest.skip(f"no container boots here: {said[-1] if said else done.returncode}")
    found = dict(line.split("=", 1) for line in (out / "facts").read_text().splitlines())
    found["log"] = (out / "log").read_text()
    return found


def test_the_installer_starts_and_enables_the_service(facts: dict[str, str]) -> None:
    assert facts["install"] == "0", facts["log"]
    assert (facts["active"], facts["enabled"]) == ("active", "enabled")


def test_the_sandboxed_agent_measures_with_kernel_timestamps(facts: dict[str, str]) -> None:
    """A raw ICMP socket by its one capability: a container's ping_group_range allows no datagram one."""
    reading = json.loads(facts["echo"])

    assert (reading["outcome"], reading["received"]) == ("measured", 5)
    assert "kernel_received" in reading["flags"]


def test_the_discovery_child_needs_no_more_than_the_sandbox_allows(facts: dict[str, str]) -> None:
    """Scapy, raw and packet sockets, under the unit's user, filters and two capabilities."""
    path, neighbour = json.loads(facts["path"]), json.loads(facts["neighbour"])

    assert (path["outcome"], path["hop"], path["hops"]) == ("measured", 1, 1), facts["log"]
    assert (path["address_low"] or 0) & 0xFFFF_FFFF == 0x7F00_0001
    assert neighbour["outcome"] == "measured", facts["log"]


def test_state_and_key_belong_to_the_agent_alone(facts: dict[str, str]) -> None:
    assert facts["status"].startswith("gw-1: running for "), facts["log"]
    assert (facts["owner"], facts["key"]) == ("edge-agent:700", "edge-agent:600")


def test_reload_restart_after_a_crash_and_stop_work(facts: dict[str, str]) -> None:
    assert facts["reload"] == "0"
    assert facts["restarts"] == "1"
    assert facts["stopped"] == "success,0"


def test_a_bad_config_fails_once_and_is_not_tried_again(facts: dict[str, str]) -> None:
    assert facts["bad_start"] != "0"
    assert facts["bad"] == "78,0"


def test_removal_keeps_identity_and_readings_until_purged(facts: dict[str, str]) -> None:
    assert (facts["uninstall"], facts["unit"], facts["kept"]) == ("0", "not-found", "2")
    assert (facts["purged"], facts["users"]) == ("0", "0")
