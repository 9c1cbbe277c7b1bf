"""The demo's one real agent: enrolled as any gateway, probing this machine and the network it is on."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

NAME = "demo-agent"


@dataclass(frozen=True, slots=True)
class Target:
    """A link of the demo: what to probe and how."""

    id: str
    peer: str
    target: str
    interface: str
    medium: str
    probes: tuple[str, ...]


def enrol(state: Path, flush_s: int) -> Path:
    """Enrol the demo's gateway and write its config; returns the path of the config."""
    folder = state / "agent"
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier demo, whose broker is gone
    subprocess.run(
        [sys.executable, "-m", "cloud", "gateways", "add", NAME, "--output", str(folder), "--renew"],
        check=True,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the demo, which then ends in order
    )
    config = folder / NAME / "agent.toml"
    connection = json.loads((state / "connection.json").read_text())
    settings = _settings(config.read_text(), folder / NAME / "spool", flush_s, connection["mqtt_port"])
    demo = config.with_name("demo.toml")
    demo.write_text(settings + "".join(_table(target) for target in targets()))
    return demo


def _settings(enrolled: str, spool: Path, flush_s: int, port: int) -> str:
    """The enrolled gateway's identity and uplink, with a spool of its own and the demo's pace."""
    keep = enrolled.split("[spool]")[0]
    return (
        f"{keep}[spool]\npath = {json.dumps(str(spool))}\ncommit_s = 1\n\n[uplink]\nflush_s = {flush_s}\n\n"
        "[clock]\nwait_s = 0\n\n"  # a demo shows what it has, whatever disciplines the clock
        f"[probe.echo]\nperiod_s = 5\ntimeout_s = 3\n\n[probe.connect]\nperiod_s = 5\nport = {port}\n\n"
        "[probe.interface]\nperiod_s = 5\n"
    )


def _table(target: Target) -> str:
    fields = {name: getattr(target, name) for name in Target.__slots__}
    lines = (f"{name} = {json.dumps(value)}" for name, value in fields.items() if value)
    return "\n[[link]]\n" + "\n".join(lines) + "\n"


def targets() -> Iterator[Target]:
    """Real targets: loopback, this machine's own addresses and the next hop of its network."""
    yield Target("demo.lo", "self", "127.0.0.1", "", "loopback", ("echo", "connect"))
    router = default_route(Path("/proc/net/route").read_text())
    for name, addresses in psutil.net_if_addrs().items():
        own = [
            each.address
            for each in addresses
            if each.family == socket.AF_INET and each.address != "127.0.0.1"
        ]
        if own:
            yield Target(f"demo.{name}", "self", own[0], "", "host", ("echo",))
        if router and router[0] == name:
            yield Target(f"demo.{name}.router", "router", router[1], name, "ethernet", ("echo", "interface"))


def default_route(table: str) -> tuple[str, str] | None:
    """Interface and IPv4 next hop of the default route in /proc/net/route (hex, host byte order)."""
    for line in table.splitlines()[1:]:
        fields = line.split()
        if fields[1] == "00000000" and fields[2] != "00000000":
            return fields[0], socket.inet_ntoa(int(fields[2], 16).to_bytes(4, sys.byteorder))
    return None
