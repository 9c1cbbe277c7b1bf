"""A batch lost behind the broker: found by the rollup pass, asked for, sent again by a real agent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from cloud import chunk, keys, rollup
from cloud.dynamo import Patience
from cloud.keys import HOUR_MS
from cloud.resend import connect
from cloud.rollup import Rollups
from cloud.rollup_settings import load
from cloud.target import Target, resolve
from infrastructure.local import engine
from tests.cloud.conftest import Bus
from tests.infrastructure.parts import ROOT, LocalCloud, eventually

NAME = "gaps-live"
AGENT = """
[spool]
path = "{spool}"
commit_s = 0.2

[uplink]
flush_s = 1

[clock]
wait_s = 0

[probe.simulated]
period_s = 1
timeout_s = 0.9

[[link]]
id = "live.a"
peer = "a"
target = "127.0.0.1"
probes = ["simulated"]
"""


class Live:
    """A local cloud, with a real agent that has been enrolled in it."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.path = cloud.state.path
        self.target: Target = resolve(None, str(self.path), dict(os.environ))
        self.dynamodb = engine.connect(cloud.connection.endpoint_url).dynamodb
        self.table = self.target.output("ReadingsTable")
        self.iot_data_url = cloud.connection.iot_data_url
        self.said: list[Any] = []

    def linkview(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "cloud", *arguments, "--local", str(self.path)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=60,
            check=True,
        )
        return done.stdout

    def gaps(self, *arguments: str) -> list[dict[str, Any]]:
        return list(json.loads(self.linkview("gaps", *arguments, "--json")))

    def start_agent(self) -> subprocess.Popen[bytes]:
        self.linkview("gateways", "add", NAME, "--output", str(self.path / "gateways"))
        config = self.path / "gateways" / NAME / "agent.toml"
        identity = config.read_text().split("[spool]")[0]
        config.write_text(identity + AGENT.format(spool=config.with_name("spool")))
        with (self.path / "logs" / "agent.log").open("wb") as log:
            command = [sys.executable, "-m", "edge_agent", "run", "--config", str(config)]
            return subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)

    def chunks(self) -> list[Any]:
        """The stored batches, oldest first."""
        items = self.dynamodb.scan(TableName=self.table, ConsistentRead=True)["Items"]
        found = [item for item in items if keys.is_chunk(item["p"]["S"])]
        return sorted(found, key=lambda item: chunk.parse(item).first_sequence)

    def rollup(self, now_ms: int) -> Rollups:
        """The rollup function's parts at a moment, with the variables of the template's defaults."""
        variables = {"STAGE": "local", "RETENTION_DAYS": "30", "LATE_DAYS": "35", "RESEND_HOURS": "168"}
        variables |= {"ROLLUP_5M_DAYS": "35", "ROLLUP_1H_DAYS": "400", "ROLLUP_1D_DAYS": "1830"}
        variables |= {"READINGS_TABLE": self.table, "LATEST_TABLE": self.target.output("LatestTable")}
        publish = connect({"AWS_ENDPOINT_URL_IOT_DATA_PLANE": self.iot_data_url}, self.client)
        return rollup.make(load(variables), self.dynamodb, lambda: now_ms, self.said.append, publish, Bus())

    def client(self, service: str, endpoint_url: str | None) -> Any:
        assert (service, endpoint_url) == ("iot-data", self.iot_data_url)
        return self.target.iot_data()


@pytest.fixture
def live(stopped_cloud: LocalCloud) -> Live:
    up = stopped_cloud.run("up")
    assert up.returncode == 0, up.stderr
    return Live(stopped_cloud)


@pytest.fixture
def agent(live: Live) -> Iterator[subprocess.Popen[bytes]]:
    running = live.start_agent()
    yield running
    running.terminate()
    running.wait(30)


def test_a_lost_batch_is_found_shown_asked_for_sent_again_by_the_agent_and_stored_as_it_was(
    live: Live, agent: subprocess.Popen[bytes]
) -> None:
    eventually(lambda: len(live.chunks()) >= 3 or agent.poll() is not None)
    assert agent.poll() is None, (live.path / "logs" / "agent.log").read_text()
    lost = live.chunks()[1]
    batch = chunk.parse(lost)
    key = {"p": lost["p"], "s": lost["s"]}
    live.dynamodb.delete_item(TableName=live.table, Key=key)
    assert live.gaps() == []

    # Two hours on: the hour has closed, and the hole is old enough to be asked for.
    now_ms = time.time_ns() // 1_000_000 + 2 * HOUR_MS
    live.rollup(now_ms).run(now_ms, Patience(lambda: 60.0, time.sleep, lambda: 1.0))
    (known,) = live.gaps()
    last = batch.first_sequence + len(batch.readings) - 1
    assert (known["gateway"], known["epoch"], known["reason"]) == (NAME, f"{batch.epoch:016x}", "unknown")
    assert (known["first_sequence"], known["last_sequence"]) == (batch.first_sequence, last)
    assert (known["asked_ms"], known["filled"]) == (now_ms, False)
    assert live.said[-1]["GapsAsked"] == 1

    def stored() -> Any:
        return live.dynamodb.get_item(TableName=live.table, Key=key, ConsistentRead=True).get("Item")

    eventually(lambda: stored() is not None)
    assert stored()["b"] == lost["b"], "the bytes that the gateway sealed"
    (filled,) = live.gaps("--scan", "--since", "1d")
    assert (filled["first_sequence"], filled["filled"]) == (batch.first_sequence, True)
