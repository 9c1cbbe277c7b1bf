"""What a publisher says its connections cost is what was seen on the wire."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from edge_agent.mqtt_traffic import MarkedSocket, TrafficMeter, parse
from edge_agent.publisher import Publisher, PublishError, Traffic, wire_bytes
from tests.edge_agent.mqtt_rig import MQTT, TOPIC, mqtt, run

ROOT = Path(__file__).parents[2]

MEASURED = """
import asyncio, json, socket, struct, subprocess, sys, threading
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.edge_agent.broker import Broker
from tests.edge_agent.certificates import Authority
from tests.edge_agent.mqtt_rig import TOPIC, mqtt
from edge_agent.publisher import PublishError

subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
folder = Path({folder!r})
(folder / "broker").mkdir()
authority = Authority(folder / "ca")
broker = Broker(authority, folder / "broker")
broker.start()

seen = {{"to": 0, "from": 0}}
tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0003))
tap.bind(("lo", 0))
tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)

def watch():
    while True:
        packet, (_, protocol, kind, *_) = tap.recvfrom(70_000)
        if kind == 4:  # PACKET_OUTGOING: each packet of the loopback interface comes once more, as incoming
            at, header = (packet[9] == 6, 20) if packet[0] >> 4 == 4 else (packet[6] == 6, 40)
            source, sink = struct.unpack_from("!HH", packet, header)
            if at and sink == broker.port:
                seen["to"] += len(packet)
            elif at and source == broker.port:
                seen["from"] += len(packet)

threading.Thread(target=watch, daemon=True).start()

async def work():
    publisher = mqtt({kind!r}, broker, commands=print, command_topic="linkpulse/v1/gw-1/resend",
                     will=("linkpulse/v1/gw-1/gone", b"{{}}"))
    for turn in range(3):
        await publisher.connect()
        handshake = dict(seen), publisher.traffic().both
        await asyncio.gather(*(publisher.publish(TOPIC, bytes(300)) for number in range(4)))
        for number in range(10):
            await publisher.publish(TOPIC, bytes(1000))
        await publisher.close()
        await asyncio.sleep(0.3)
    connected = publisher.traffic()
    stranger = mqtt({kind!r}, broker, Authority(folder / "other").issue("gw-1"), ca=authority.ca)
    before = dict(seen)
    try:
        await stranger.connect()
    except PublishError:
        pass
    await stranger.close()
    await asyncio.sleep(0.3)
    failed = sum(seen.values()) - sum(before.values())
    return {{"told": [connected.sent, connected.received], "seen": [*before.values()],
             "failed_told": stranger.traffic().both, "failed_seen": failed, "handshake": handshake[1]}}

result = asyncio.run(work())
broker.kill()
print(json.dumps(result))
"""


@pytest.mark.parametrize("kind", list(MQTT))
def test_the_figure_is_that_of_the_wire(kind: str, tmp_path: Path) -> None:
    """Every packet to and from the broker, seen by a packet socket in a namespace that nobody else uses."""
    code = textwrap.dedent(MEASURED).format(root=str(ROOT), folder=str(tmp_path), kind=kind)
    done = subprocess.run(
        ["unshare", "-rn", sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=90
    )
    if "Operation not permitted" in done.stderr:
        pytest.skip("no namespaces here")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    print(result)
    for told, seen in zip(result["told"], result["seen"], strict=True):
        assert seen > 10_000
        assert abs(told - seen) < 0.03 * seen, result
    assert abs(result["failed_told"] - result["failed_seen"]) < 0.25 * result["failed_seen"], result


@pytest.mark.parametrize("kind", list(MQTT))
def test_an_attempt_that_finds_nobody_is_counted_too(kind: str, broker: Any) -> None:
    broker.kill()

    async def work(publisher: Publisher) -> None:
        with pytest.raises(PublishError):
            await publisher.connect()

    publisher = mqtt(kind, broker)
    run(publisher, work)
    assert 0 < publisher.traffic().sent < 500


@pytest.mark.parametrize("kind", list(MQTT))
def test_the_traffic_of_a_closed_connection_is_kept_and_only_grows(kind: str, broker: Any) -> None:
    async def work(publisher: Publisher) -> None:
        told = [publisher.traffic().both]
        for _ in range(2):
            await publisher.connect()
            told.append(publisher.traffic().both)
            await publisher.publish(TOPIC, bytes(1000))
            told.append(publisher.traffic().both)
            await publisher.close()
            told.append(publisher.traffic().both)
        assert told == sorted(told)
        assert told[0] == 0 < told[1] < told[-1]

    run(mqtt(kind, broker), work)


def test_the_kernels_structure_is_read_as_it_is_laid_out() -> None:
    raw = bytearray(248)
    raw[5] = 1  # timestamps
    struct.pack_into("=QQII", raw, 120, 900, 500, 10, 8)
    struct.pack_into("=Q", raw, 200, 1_000)
    assert parse(bytes(raw), 20) == Traffic(1_000 + 10 * 52 + 8, 500 + 8 * 52 + 8)
    raw[5] = 0
    assert parse(bytes(raw), 40) == Traffic(1_000 + 10 * 60 + 8, 500 + 8 * 60 + 8)
    assert parse(bytes(raw[:160]), 20) == Traffic(900 + 10 * 40 + 8, 500 + 8 * 40 + 8), "before Linux 4.19"
    assert parse(bytes(raw[:104]), 20) is None


def test_a_socket_that_nobody_marked_is_never_taken_for_the_sdks() -> None:
    """Its idle time may be any that the machine's administrator chose: 7,200 s where nobody did."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as opened,
    ):
        meter = TrafficMeter()
        mark = opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
        marked = MarkedSocket(mark, meter)
        for is_kept in (0, 1):
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, is_kept)
            marked.look()
        assert (meter.total.both, marked.ended()) == (0, False)


def test_without_counters_it_is_estimated() -> None:
    meter = TrafficMeter()
    meter.connected()
    meter.published(TOPIC, bytes(1000))
    assert meter.total.both > wire_bytes(TOPIC, bytes(1000)) > 1_000
    meter.ended(Traffic(10, 10))
    before = meter.total
    meter.unanswered(20.0)
    assert meter.total.sent - before.sent == 5 * 60


def test_a_marked_socket_is_found_among_all_that_are_open() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as opened,
    ):
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL):
            opened.setsockopt(socket.IPPROTO_TCP, option, 31_234)
        before = len([*Path("/proc/self/fd").iterdir()])
        meter = TrafficMeter()
        stranger, marked = MarkedSocket(31_235, meter), MarkedSocket(31_234, meter)
        stranger.look()
        assert meter.total.both == 0
        marked.look()
        assert meter.total.sent > 0
        assert len([*Path("/proc/self/fd").iterdir()]) == before, "looking leaves nothing open"
    marked.look()
    assert marked.ended() and not stranger.ended()
