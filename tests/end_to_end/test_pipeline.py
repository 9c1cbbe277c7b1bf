"""The whole line, every part real: generated on a gateway, answerable from the table, exactly once."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from edge_agent.contract import Batch, Flag, Link, Reading, encode

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Cloud

ECHO = (5, 5, 0, 0, 0, 0, 1000, 1100, None, 1300, 1120, 90, 70, 0, 64)


def batch(gateway: str, link: str = "a.b") -> bytes:
    now = int(time.time() * 1000)
    reading = Reading(link, "echo", now, ECHO, Flag.CLOCK_SYNCED)
    return encode(Batch(gateway, (now // 1000) << 32 | 7, 0, now, (reading,), (Link(link, "peer"),)))


def until(what: Callable[[], Any], seconds: float = 30) -> Any:
    """The first true answer, or the last one when the time is over."""
    end = time.monotonic() + seconds
    while not (answer := what()) and time.monotonic() < end:
        time.sleep(0.5)
    return answer


def publish(
    cloud: Cloud, identity: Path, topic_gateway: str, payload: bytes
) -> subprocess.CompletedProcess[str]:
    """mosquitto_pub with a gateway's own certificate, MQTT 5, so that a refused PUBACK is told."""
    topic = f"$aws/rules/{cloud.output('RuleName')}/v1/{topic_gateway}/m"
    return subprocess.run(
        [
            *("mosquitto_pub", "-d", "-V", "5", "-q", "1", "-h", "127.0.0.1"),
            *("-p", str(cloud.connection["mqtt_port"]), "-i", identity.name, "-t", topic, "-s"),
            *("--cafile", cloud.connection["ca"]),
            *("--cert", str(identity / "gateway.pem"), "--key", str(identity / "gateway.key")),
        ],
        input=payload.decode("latin-1"),
        encoding="latin-1",
        capture_output=True,
        timeout=30,
        check=False,
    )


def quarantined(cloud: Cloud) -> list[dict[str, Any]]:
    return list(json.loads(cloud.run("cloud", "quarantine", "list", "--json").stdout))


def test_a_simulated_fleet_over_mqtt_is_in_the_table_exactly_once(cloud: Cloud) -> None:
    record = cloud.state / "truth" / "mqtt.jsonl"
    arguments = ("--gateways", "6", "--links", "4", "--interval", "2", "--duration", "8", "--flush", "3")
    cloud.run("simulator", "run", "--sink", "mqtt", "--seed", "5", *arguments, "--record", str(record))
    generated = [json.loads(line) for line in record.read_text().splitlines()]
    assert len({reading["gateway"] for reading in generated}) == 6
    assert len(generated) >= 6 * 4 * 4
    done = cloud.run("cloud", "audit", str(record), "--settle", "30", check=False)
    assert done.returncode == 0, done.stdout
    assert "every reading exactly once" in done.stdout


def test_straight_into_the_stream_is_stored_as_direct(cloud: Cloud) -> None:
    record = cloud.state / "truth" / "direct.jsonl"
    arguments = (
        "--gateways",
        "3",
        "--links",
        "2",
        "--interval",
        "2",
        "--duration",
        "10",
        "--prefix",
        "direct",
    )
    cloud.run("simulator", "run", "--sink", "kinesis", *arguments, "--fast", "--record", str(record))
    done = cloud.run("cloud", "audit", str(record), "--settle", "30", check=False)
    assert done.returncode == 0, done.stdout
    items = cloud.client("dynamodb").scan(TableName=cloud.output("ReadingsTable"))["Items"]
    sources = {item["src"]["S"] for item in items if item["p"]["S"].startswith("direct") and "src" in item}
    assert sources == {"direct"}


AGENT = """
[spool]
path = "{spool}"
commit_s = 0.5
[uplink]
flush_s = 2
[clock]
wait_s = 0
[probe.echo]
period_s = 1
timeout_s = 0.9
count = 3
spacing_ms = 20
[probe.interface]
period_s = 1
timeout_s = 0.9
[[link]]
id = "real.lo"
peer = "self"
target = "127.0.0.1"
interface = "lo"
medium = "loopback"
probes = ["echo", "interface"]
"""


def test_a_real_agent_measures_and_its_links_are_answerable(
    cloud: Cloud, enrolled: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = enrolled("real-1")
    config = folder / "demo.toml"
    head = (folder / "agent.toml").read_text().split("[spool]")[0]
    config.write_text(head + AGENT.format(spool=tmp_path / "spool.db"))
    record = cloud.state / "truth" / "real.jsonl"
    command = [sys.executable, "-m", "edge_agent", "run", "--config", str(config), "--record", str(record)]
    agent = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert until(lambda: record.exists() and record.read_text().count("\n") >= 12)
    agent.send_signal(signal.SIGTERM)
    said = agent.communicate(timeout=30)[1]
    assert agent.returncode == 0, said
    assert "Traceback" not in said
    done = cloud.run("cloud", "audit", str(record), "--settle", "30", check=False)
    assert done.returncode == 0, done.stdout
    links = json.loads(cloud.run("cloud", "links", "--json").stdout)
    mine = [link for link in links if link["gateway"] == "real-1" and link["link"] == "real.lo"]
    assert mine
    history = json.loads(cloud.run("cloud", "history", "real.lo", "--kind", "echo", "--json").stdout)
    assert len(history) >= 3


def test_a_gateway_cannot_publish_to_the_topic_of_another(
    cloud: Cloud, enrolled: Callable[[str], Path]
) -> None:
    first, second = enrolled("spoof-a"), enrolled("spoof-b")
    refused = publish(cloud, first, second.name, batch(second.name))
    assert (
        "RC:135" in refused.stdout.replace("rc135", "RC:135")
        or "Not authorized" in refused.stdout + refused.stderr
    )
    allowed = publish(cloud, first, first.name, batch(first.name))
    assert "Not authorized" not in allowed.stdout + allowed.stderr
    names = until(lambda: "spoof-a" in cloud.run("cloud", "gateways", "--json").stdout)
    assert names
    assert all(
        link["gateway"] != "spoof-b" for link in json.loads(cloud.run("cloud", "links", "--json").stdout)
    )


def test_a_batch_that_claims_another_gateway_is_quarantined_and_seen(
    cloud: Cloud, enrolled: Callable[[str], Path]
) -> None:
    publish(cloud, enrolled("spoof-a"), "spoof-a", batch("spoof-b", "forged.link"))
    assert until(lambda: [each for each in quarantined(cloud) if "spoof-b" in each["reason"]])
    assert "forged.link" not in cloud.run("cloud", "links", "--json").stdout


@pytest.mark.parametrize(
    "data", [b"not json at all", b"[]", b'{"b": "AAAA"}', b'{"b": "!!", "thing": "x", "rx": 1}']
)
def test_a_stream_record_that_is_no_envelope_is_quarantined_and_its_neighbours_are_stored(
    cloud: Cloud, data: bytes
) -> None:
    before = len(quarantined(cloud))
    stream, gateway = cloud.output("StreamName"), f"neighbour-{abs(hash(data)) % 1000}"
    good = {"b": base64.b64encode(batch(gateway)).decode(), "thing": gateway, "rx": int(time.time() * 1000)}
    good["source"] = "direct"
    records = [data, json.dumps(good).encode(), data]
    cloud.client("kinesis").put_records(
        StreamName=stream, Records=[{"Data": each, "PartitionKey": "k"} for each in records]
    )
    assert until(lambda: len(quarantined(cloud)) >= before + 2)
    assert until(lambda: gateway in cloud.run("cloud", "links", "--json").stdout)


def test_a_malformed_mqtt_payload_is_quarantined_with_its_reason(
    cloud: Cloud, enrolled: Callable[[str], Path]
) -> None:
    publish(cloud, enrolled("spoof-b"), "spoof-b", b"\x01garbage that is no batch")
    assert until(lambda: [each for each in quarantined(cloud) if each["thing"] == "spoof-b"])


def test_a_deleted_row_is_named_by_the_audit(cloud: Cloud) -> None:
    record = cloud.state / "truth" / "deleted.jsonl"
    arguments = ("--gateways", "2", "--links", "2", "--interval", "1", "--duration", "5", "--prefix", "lost")
    cloud.run("simulator", "run", "--sink", "kinesis", *arguments, "--fast", "--record", str(record))
    assert cloud.run("cloud", "audit", str(record), "--settle", "30").returncode == 0
    table, database = cloud.output("ReadingsTable"), cloud.client("dynamodb")
    items = database.scan(TableName=table)["Items"]
    victim = next(item for item in items if item["p"]["S"].startswith("lost-0001#"))
    database.delete_item(TableName=table, Key={"p": victim["p"], "s": victim["s"]})
    done = cloud.run("cloud", "audit", str(record), check=False)
    assert done.returncode == 1
    assert "lost-0001" in done.stdout
    assert "missing" in done.stdout


def test_a_second_up_says_that_one_is_running(cloud: Cloud) -> None:
    done = cloud.run("infrastructure.local", "up", "--state", str(cloud.state), check=False)
    assert done.returncode == 1
    assert "running" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_status_names_every_part_as_running(cloud: Cloud) -> None:
    status = json.loads(
        cloud.run("infrastructure.local", "status", "--json", "--state", str(cloud.state)).stdout
    )
    assert status["state"] == "running"
    assert {part["state"] for part in status["parts"].values()} == {"running"}


def test_the_smoke_test_passes_on_the_local_stack(cloud: Cloud) -> None:
    done = cloud.run("infrastructure.smoke", "--stack", cloud.connection["stack"], check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_listens_beyond_loopback(cloud: Cloud) -> None:
    parts = json.loads((cloud.state / "status.json").read_text())["parts"]
    family = [psutil.Process(pid) for pid in {part["pid"] for part in parts.values()}]
    family += [child for process in family for child in process.children(recursive=True)]
    listening = [
        each.laddr.ip for process in family for each in process.net_connections() if each.status == "LISTEN"
    ]
    assert listening
    assert set(listening) == {"127.0.0.1"}
