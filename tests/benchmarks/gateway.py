"""What runs on the gateway of a site: the agent as it is installed, and the plain script beside it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.site import ENDPOINT, GATEWAY, PORT, RULE, Site

LINKS = 20
PERIOD_S = 10.0


@contextmanager
def installed() -> Iterator[Mapping[str, str]]:
    """The environment of an agent whose modules are compiled, as they are after pip install."""
    with tempfile.TemporaryDirectory(prefix="bench-compiled-") as folder:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment["PYTHONPYCACHEPREFIX"] = folder
        code = "import edge_agent.agent, edge_agent.logs, edge_agent.config_load, edge_agent.mqtt_{}"
        for publisher in ("paho", "aws"):
            command = [sys.executable, "-c", code.format(publisher)]
            subprocess.run(command, env=environment, check=True)
        subprocess.run(
            [sys.executable, "-m", "edge_agent", "version"],
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        yield environment


def config(site: Site, publisher: str, *, links: int = LINKS, probe: str = "echo", extra: str = "") -> Path:
    """The agent's configuration: links to addresses of its own loopback; all else as by default."""
    sections = "".join(
        f'[[link]]\nid = "{link_id(number)}"\ntarget = "{target}"\nprobes = ["{probe}"]\n'
        for number, target in enumerate(targets(links))
    )
    path = site.folder / "agent.toml"
    path.write_text(
        f'[gateway]\nname = "{GATEWAY}"\n'
        f'[mqtt]\npublisher = "{publisher}"\nendpoint = "{ENDPOINT}"\nport = {PORT}\nrule = "{RULE}"\n'
        f'ca = "{site.ca}"\ncertificate = "{site.certificate()}"\nkey = "{site.key()}"\n'
        f'[spool]\npath = "{site.folder / "spool"}"\n'
        # Nobody synchronises the clock of a namespace: without this nothing is sent for five minutes.
        f"{extra}[clock]\nwait_s = 0\n{sections}"
    )
    return path


def link_id(number: int) -> str:
    """The id of the link with that number."""
    return f"site-{number:02d}:wlan0"


def targets(links: int) -> list[str]:
    """As many addresses of the gateway's loopback."""
    return [f"127.0.1.{number + 1}" for number in range(links)]


def start_agent(site: Site, settings: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start the agent as its unit does."""
    words = [sys.executable, "-m", "edge_agent", "run", "--config", str(settings)]
    return site.run(words, "agent", environment)


def start_plain(site: Site, environment: Mapping[str, str], *options: str) -> subprocess.Popen[bytes]:
    """Start the peer (tests/benchmarks/plain_agent.py) with the same credentials."""
    files = (str(site.ca), str(site.certificate()), str(site.key()))
    script = Path(__file__).with_name("plain_agent.py")
    return site.run([sys.executable, str(script), *files, *options], "agent", environment)


def until_delivered(
    site: Site, process: subprocess.Popen[bytes], batches: int = 1, within_s: float = 120
) -> None:
    """Return when the broker has had so many messages; raises RuntimeError with the process's words."""
    deadline = time.monotonic() + within_s
    while site.arrived() < batches:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"no message arrived; the agent says: {site.said('agent')}")
        time.sleep(0.1)
