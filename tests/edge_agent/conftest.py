"""Fixtures that several tests of the agent build on: a broker, readings, an agent of their own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_agent.contract import KINDS, Flag, Reading
from edge_agent.spool import Spool
from tests.edge_agent.broker import RULE, Broker, Observer, free_port
from tests.edge_agent.budget_rig import Gateway
from tests.edge_agent.certificates import Authority
from tests.edge_agent.mqtt_rig import MQTT
from tests.edge_agent.relay import Relay
from tests.edge_agent.running import ROOT, Run, Running, Start
from tests.edge_agent.uplink_rig import spool_in_memory


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The CA of the broker and of its gateways."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def broker(authority: Authority, tmp_path: Path) -> Iterator[Broker]:
    """A running broker of this test alone."""
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Broker(authority, folder)
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def observer(broker: Broker) -> Iterator[Observer]:
    """What arrives at the broker."""
    observer = Observer(broker)
    yield observer
    observer.close()


@pytest.fixture
def closed_port() -> int:
    """A TCP port of 127.0.0.1 that refuses connections."""
    return free_port()


@pytest.fixture
def echo() -> Callable[..., Reading]:
    """A maker of distinct, plausible echo readings by number."""

    def make(number: int, link: str = "north", at_ms: int | None = None) -> Reading:
        values = (
            5,
            5,
            0,
            0,
            0,
            0,
            *(1000 + (number * 7919 + column * 104_729) % 9000 for column in range(7)),
            0,
            64,
        )
        assert len(values) == len(KINDS["echo"].columns)
        at = 1_790_000_000_000 + number * 1000 if at_ms is None else at_ms
        return Reading(link, "echo", at, values, Flag.CLOCK_SYNCED)

    return make


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Waits until something holds, with a bound that only a failure reaches."""

    def wait(holds: Callable[[], object], within_s: float = 60) -> None:
        deadline = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < deadline, "it did not come true"
            time.sleep(0.02)

    return wait


@pytest.fixture
def eventually_async() -> Callable[..., object]:
    """The same on the event loop."""

    async def wait(holds: Callable[[], object], within_s: float = 60) -> None:
        deadline = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < deadline, "it did not come true"
            await asyncio.sleep(0.02)

    return wait


@pytest.fixture
def config_file(authority: Authority, tmp_path: Path) -> Callable[..., Path]:
    """A maker of agent.toml for gw-1: one quick simulated link, a spool in tmp_path, this test's broker."""

    def make(
        port: int, link: str = "north", extra: str = "", name: str = "agent.toml", **changes: str
    ) -> Path:
        identity = authority.issue("gw-1")
        settings = {"publisher": "paho", "spool": str(tmp_path / "spool"), "flush_s": "0.5"} | changes
        path = tmp_path / name
        path.write_text(
            f'[gateway]\nname = "gw-1"\n'
            f'[mqtt]\npublisher = "{settings["publisher"]}"\nendpoint = "localhost"\nport = {port}\n'
            f'rule = "{RULE}"\nca = "{identity.ca}"\ncertificate = "{identity.certificate}"\n'
            f'key = "{identity.key}"\n'
            f'[spool]\npath = "{settings["spool"]}"\ncommit_s = 0.1\n'
            f"[uplink]\nflush_s = {settings['flush_s']}\nbackoff_max_s = 1\n"
            "[clock]\nwait_s = 0\n"  # nobody may discipline the clock of a machine that tests
            "[probe.simulated]\nperiod_s = 0.2\ntimeout_s = 0.1\n"
            f'[[link]]\nid = "{link}"\nprobes = ["simulated"]\n{extra}'
        )
        return path

    return make


@pytest.fixture
def start() -> Iterator[Start]:
    """A maker of agents, which end with the test."""
    started: list[Running] = []

    def make(config: Path, record: Path | None = None, **environment: str) -> Running:
        running = Running(config, record, environment)
        started.append(running)
        return running

    yield make
    for running in started:
        running.process.kill()
        running.process.wait()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs edge-agent to its end; what it printed is text, and never a traceback."""

    def make(*arguments: str, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "edge_agent", *arguments],
            input=stdin,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100", **environment},
            cwd=tmp_path,
            check=False,
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    return make


@pytest.fixture
def checked(config_file: Callable[..., Path]) -> Path:
    """A configuration whose credentials exist."""
    return config_file(8883, extra='[[link]]\nid = "south"\ninterface = "lo"\nprobes = ["interface"]\n')


@pytest.fixture(params=list(MQTT))
def kind(request: pytest.FixtureRequest) -> str:
    """Each MQTT library in turn."""
    return str(request.param)


@pytest.fixture
def relay(broker: Broker) -> Iterator[Relay]:
    """A way to the broker that can be slow, deaf or cut."""
    relay = Relay(broker.port)
    yield relay
    relay.close()


@pytest.fixture
def spool() -> Iterator[Spool]:
    """An empty spool in memory."""
    spool = spool_in_memory()
    yield spool
    spool.close()


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    """A gateway with a data budget of its own."""
    return Gateway(tmp_path)
