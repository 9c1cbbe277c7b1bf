"""A gateway and a broker, each in a network namespace of its own, with a counted wire between."""

from __future__ import annotations

import datetime
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from cryptography.hazmat.primitives import serialization

from infrastructure.local.iot import certificates
from infrastructure.local.iot.broker import search_path

ENDPOINT = "a1b2c3d4e5f6g7-ats.iot.eu-central-1.amazonaws.com"
"""As long as a real one: it goes over the wire in each TLS handshake."""
PORT = 8883
GATEWAY = "gw-0001"
RULE = "linkpulse_bench_ingest"
TOPIC = f"$aws/rules/{RULE}/v1/{GATEWAY}/m"
_HERE, _THERE = "10.9.0.1", "10.9.0.2"
_BOUND = ["setpriv", "--pdeathsig", "KILL", "--"]
"""Whatever becomes of the benchmark, nothing of it stays."""
_ETHERNET = 14
"""What the interface's counters have of each packet beside IP."""


def obstacle() -> str:
    """Why no site can be built here, or nothing."""
    for tool, package in (
        ("setpriv", "util-linux"),
        ("unshare", "util-linux"),
        ("nsenter", "util-linux"),
        ("ip", "iproute2"),
    ):
        if not shutil.which(tool):
            return f"{tool} is not installed: apt-get install {package}"
    for tool in ("mosquitto", "mosquitto_sub"):
        if not shutil.which(tool, path=search_path()):
            return f"{tool} is not installed: apt-get install mosquitto mosquitto-clients"
    done = subprocess.run(["unshare", "-n", "-m", "true"], capture_output=True, check=False)
    return "" if done.returncode == 0 else "needs root to make a network namespace: sudo make bench"


class Site:
    """Two namespaces, mosquitto with mutual TLS in one; the gateway's processes are started in the other."""

    def __init__(self) -> None:
        self._held = ExitStack()
        self.folder = Path(self._held.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        self.ca = self.folder / "ca.pem"

    def __enter__(self) -> Site:
        try:
            self._make()
        except BaseException:
            self._held.close()
            raise
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._held.close()

    def _make(self) -> None:
        hosts = self.folder / "hosts"
        hosts.write_text(f"127.0.0.1 localhost\n{_THERE} {ENDPOINT}\n")
        self._gateway = self._namespace(f"mount --bind {hosts} /etc/hosts && ")
        self._broker = self._namespace("")
        self._wire()
        self._certificates()
        self._start_broker()

    def _namespace(self, first: str) -> int:
        """The process that holds a new one, with its own /etc and without IPv6's chatter."""
        mark = self.folder / f"ready-{time.monotonic_ns()}"
        script = (
            f"{first}echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6; "
            f"echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6; "
            f"ip link set lo up && echo '0 2147483647' >/proc/sys/net/ipv4/ping_group_range; "
            f"touch {mark} && exec sleep infinity"
        )
        holder = subprocess.Popen([*_BOUND, "unshare", "-n", "-m", "sh", "-c", script])
        self._held.callback(end, holder)
        _until(mark.exists, "a namespace", holder)
        return holder.pid

    def _wire(self) -> None:
        self._ip(self._gateway, "link add v0 type veth peer name v1 netns " + str(self._broker))
        ends = (
            (self._gateway, "v0", _HERE, "02:00:00:00:00:01"),
            (self._broker, "v1", _THERE, "02:00:00:00:00:02"),
        )
        for holder, name, address, hardware in ends:
            # No segmentation left to the interface: the counters shall see the packets of a real wire.
            self._ip(holder, f"link set {name} address {hardware} mtu 1500 gso_max_segs 1 up")
            self._ip(holder, f"addr add {address}/24 dev {name}")
        for (holder, name, _, _), (_, _, other, hardware) in zip(ends, reversed(ends), strict=True):
            self._ip(holder, f"neigh replace {other} lladdr {hardware} dev {name} nud permanent")

    def _ip(self, holder: int, words: str) -> None:
        command = ["nsenter", "-t", str(holder), "-n", "ip", *words.split()]
        subprocess.run(command, check=True, capture_output=True)

    def _certificates(self) -> None:
        now = datetime.datetime.now(datetime.UTC)
        authority = certificates.make_ca("Bench", now)
        self.ca.write_bytes(authority.certificate.public_bytes(serialization.Encoding.PEM))
        for name, hosts in ((ENDPOINT, (ENDPOINT,)), (GATEWAY, ())):
            issued = certificates.issue(authority, name, hosts, now)
            self.certificate(name).write_bytes(issued.certificate.public_bytes(serialization.Encoding.PEM))
            self.key(name).touch(mode=0o600)
            self.key(name).write_bytes(
                issued.key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            )

    def certificate(self, name: str = GATEWAY) -> Path:
        """The file of a name's certificate."""
        return self.folder / f"{name}.crt"

    def key(self, name: str = GATEWAY) -> Path:
        """The file of a name's private key."""
        return self.folder / f"{name}.key"

    def _start_broker(self) -> None:
        settings = self.folder / "mosquitto.conf"
        settings.write_text(
            "user root\nper_listener_settings true\nmax_inflight_messages 2000\nmax_queued_messages 100000\n"
            "listener 1883 127.0.0.1\nallow_anonymous true\n"
            f"listener {PORT} {_THERE}\nmax_qos 1\nallow_anonymous false\n"
            f"cafile {self.ca}\ncertfile {self.certificate(ENDPOINT)}\nkeyfile {self.key(ENDPOINT)}\n"
            "require_certificate true\nuse_identity_as_username true\n"
        )
        self._in(self._broker, [_tool("mosquitto"), "-c", str(settings)], "broker")
        arrived = self.folder / "arrived"
        words = [_tool("mosquitto_sub"), "-h", "127.0.0.1", "-q", "1", "-t", "$aws/#", "-F", "%U %x"]
        _until(lambda: self._listens(1883), "the broker")
        with arrived.open("wb") as out:
            watcher = subprocess.Popen([*_within(self._broker), *words], stdout=out)
        self._held.callback(end, watcher)
        _until(lambda: " as auto-" in self.said("broker"), "the observer", watcher)

    def _listens(self, port: int) -> bool:
        table = Path(f"/proc/{self._broker}/net/tcp").read_text()
        return f":{port:04X} 00000000:0000 0A" in table

    def said(self, name: str) -> str:
        """What a process of the site has written."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def run(
        self, words: list[str], name: str, environment: Mapping[str, str] = os.environ
    ) -> subprocess.Popen[bytes]:
        """Start a process on the gateway; it ends with the site at the latest."""
        return self._in(self._gateway, words, name, environment)

    def _in(
        self, holder: int, words: list[str], name: str, environment: Mapping[str, str] = os.environ
    ) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as out:
            started = subprocess.Popen([*_within(holder), *words], stdout=out, stderr=out, env=environment)
        self._held.callback(end, started)
        return started

    def arrived(self) -> int:
        """How many messages have arrived at the broker so far."""
        return (self.folder / "arrived").read_bytes().count(b"\n")

    def messages(self) -> list[tuple[float, bytes]]:
        """When each message arrived at the broker (epoch s), and its payload."""
        lines = (self.folder / "arrived").read_text().splitlines(keepends=True)
        return [(float(at), bytes.fromhex(payload)) for at, payload in _split(lines)]

    def crossed(self) -> tuple[int, int]:
        """IP bytes that the wire has carried so far, to the broker and from it."""
        for line in Path(f"/proc/{self._gateway}/net/dev").read_text().splitlines():
            name, _, figures = line.partition(":")
            if name.strip() == "v0":
                received, packets, *_, sent, sent_packets = map(int, figures.split()[:10])
                return sent - _ETHERNET * sent_packets, received - _ETHERNET * packets
        raise RuntimeError("the gateway's interface is gone")

    def echoes(self) -> int:
        """ICMP echo requests that the gateway has sent so far (the kernel's own count, loopback included)."""
        lines = [line.split() for line in Path(f"/proc/{self._gateway}/net/snmp").read_text().splitlines()]
        names, values = (line for line in lines if line[0] == "Icmp:")
        return int(values[names.index("OutEchos")])


def _split(lines: list[str]) -> list[tuple[str, str]]:
    whole = (line.split() for line in lines if line.endswith("\n"))
    return [(words[0], words[1] if len(words) > 1 else "") for words in whole]


def _within(holder: int) -> list[str]:
    return [*_BOUND, "nsenter", "-t", str(holder), "-n", "-m", f"--wdns={Path.cwd()}", "--"]


def _tool(name: str) -> str:
    found = shutil.which(name, path=search_path())
    assert found, name
    return found


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process of ours, and wait until it has."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _until(
    holds: Callable[[], bool], what: str, process: subprocess.Popen[bytes] | None = None, within_s: float = 20
) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline or (process and process.poll() is not None):
            raise RuntimeError(f"{what} did not start")
        time.sleep(0.01)
