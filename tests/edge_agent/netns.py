"""Python in a network namespace of its own, where tests may make interfaces and close sysctls."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
import textwrap

import pytest

PRELUDE = """
import asyncio, os, signal, subprocess, sys
from edge_agent.contract import Flag, Link, Outcome
from edge_agent.probes import ConnectSettings, EchoSettings, InterfaceSettings, ProbeError
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.connect import ConnectProbe
from edge_agent.probes.echo import EchoProbe
from edge_agent.probes.interface import InterfaceProbe

def ip(*words):
    subprocess.run(["ip", *words], check=True)

def veth():
    "v0 (10.9.0.1) here, its peer v1 (10.9.0.2) in another namespace; returns the process that holds that."
    holder = subprocess.Popen(["unshare", "-n", "sleep", "60"])
    while os.readlink(f"/proc/{holder.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
        pass
    connect(holder)
    return holder

def connect(holder):
    ip("link", "add", "v0", "type", "veth", "peer", "name", "v1", "netns", str(holder.pid))
    for words in (["addr", "add", "10.9.0.2/24", "dev", "v1"], ["link", "set", "v1", "up"]):
        subprocess.run(["nsenter", "-t", str(holder.pid), "-n", "ip", *words], check=True)
    ip("addr", "add", "10.9.0.1/24", "dev", "v0")
    ip("link", "set", "v0", "up")
    # The kernel brings the carriers up in its own time.
    for where in ([], ["nsenter", "-t", str(holder.pid), "-n"]):
        while b"state UP" not in subprocess.check_output([*where, "ip", "link", "show", "type", "veth"]):
            pass

def allow_ping(low, high):
    with open("/proc/sys/net/ipv4/ping_group_range", "w") as range_:
        range_.write(f"{low} {high}")

def become_nobody():
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)

async def outcome(probe, link):
    try:
        return await probe(link)
    except ProbeError as error:
        return error

"""


@functools.cache
def _reason() -> str:
    for tool in ("unshare", "nsenter", "ip"):
        if not shutil.which(tool):
            return f"needs {tool}"
    done = subprocess.run(
        ["unshare", "-n", "ip", "link", "set", "lo", "up"], capture_output=True, check=False
    )
    return "" if done.returncode == 0 else "needs root to make a network namespace"


needs_netns = pytest.mark.skipif(bool(_reason()), reason=_reason())


def run_in_netns(script: str) -> str:
    """What the script prints; it sees PRELUDE's names, and only a loopback interface that is up."""
    code = PRELUDE + "ip('link', 'set', 'lo', 'up')\n" + textwrap.dedent(script)
    command = ["unshare", "-n", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
