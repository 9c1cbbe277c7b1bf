"""The STAMP reflector against strangers: whom it answers, with what, and what it counts."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from edge_agent.probes.probe import ProbeError
from edge_agent.probes.stamp_packet import (
    ReflectedPacket,
    SenderPacket,
    decode_reflected,
    encode_reflected,
    encode_sender,
    padding,
)
from edge_agent.probes.stamp_time import to_ns, to_ntp
from edge_agent.probes.train_packet import hello
from edge_agent.reflector.admission import Admission
from edge_agent.reflector.reflector import Reflector
from edge_agent.reflector.settings import ReflectorSettings
from edge_agent.reflector.stamp_responder import StampResponder
from tests.edge_agent.stamp_rig import KEY, TEST_PACKET, Stranger, responder


def answer(data: bytes, **settings: Any) -> bytes:
    async def run() -> bytes:
        async with responder(**settings) as running:
            return await Stranger(running.port).ask(data)

    return asyncio.run(run())


@pytest.mark.parametrize("tlvs", [b"", padding(100), bytes.fromhex("80f00001aa"), b"\x80"])
def test_a_reply_is_as_long_as_the_request(tlvs: bytes) -> None:
    request = encode_sender(SenderPacket(5, to_ntp(7), 0x8001, 9, tlvs), None)
    reply = answer(request)
    packet = decode_reflected(reply, None)
    assert len(reply) == len(request)
    assert (packet.sequence, packet.sender_sequence, packet.sender_timestamp) == (0, 5, to_ntp(7))
    assert (packet.ssid, packet.sender_error, packet.sender_ttl) == (9, 0x8001, 64)
    now = time.time_ns()
    came, left = (to_ns(each, packet.error, now) for each in (packet.received, packet.timestamp))
    assert now - 60_000_000_000 < came <= left <= now


def test_replies_are_numbered_within_their_session() -> None:
    async def run() -> list[int]:
        async with responder() as running:
            stranger = Stranger(running.port)
            packets = [SenderPacket(turn, to_ntp(turn), 1, ssid) for turn in range(3) for ssid in (7, 8)]
            replies = [await stranger.ask(encode_sender(packet, None)) for packet in packets]
            return [decode_reflected(reply, None).sequence for reply in replies]

    assert asyncio.run(run()) == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("data", "counter"),
    [
        (b"", "malformed"),
        (TEST_PACKET[:-1], "malformed"),
        (encode_reflected(ReflectedPacket(0, 1, 0, 0, 1, 0, 0, 0, 0), None), "malformed"),
    ],
)
def test_what_is_no_test_packet_is_counted_and_not_answered(data: bytes, counter: str) -> None:
    async def run() -> bool:
        async with responder() as running:
            return await Stranger(running.port).silence_of(running, data, counter)

    assert asyncio.run(run())


def test_an_unsigned_packet_is_not_answered_where_a_key_is_set(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(KEY)
    unsigned = encode_sender(SenderPacket(0, 1, 1, 9, bytes(68)), None)

    async def run() -> bool:
        async with responder(key_file=tmp_path / "key") as running:
            return await Stranger(running.port).silence_of(running, unsigned, "not_authentic")

    assert asyncio.run(run())


def test_a_stranger_is_not_answered_and_a_greedy_one_not_always() -> None:
    async def run(**settings: Any) -> tuple[int, int, int]:
        wanted = ReflectorSettings(listen="127.0.0.1", port=0, **settings)
        gate = Admission(wanted, lambda: 0.0)
        running = StampResponder(wanted, gate)
        await running.start()
        stranger = Stranger(running.port)
        for _ in range(10):
            stranger.socket.send(TEST_PACKET)
        while gate.refused + gate.limited + running.counters["reflected"] < 10:
            await asyncio.sleep(0.001)
        running.close()
        return gate.refused, gate.limited, running.counters["reflected"]

    assert asyncio.run(run(allow=("192.0.2.0/24",))) == (10, 0, 0)
    assert asyncio.run(run(packets_per_s=4)) == (0, 6, 4)


def test_what_is_no_test_packet_uses_up_nothing_of_what_its_source_may_send() -> None:
    """Its address may be forged."""

    async def run() -> int:
        async with responder(packets_per_s=1) as running:
            stranger = Stranger(running.port)
            assert await stranger.silence_of(running, b"x", "malformed")
            return len(await stranger.ask(TEST_PACKET))

    assert asyncio.run(run()) == len(TEST_PACKET)


def test_a_signed_packet_that_is_repeated_uses_up_nothing_either(tmp_path: Path) -> None:
    """Its signature holds whoever sends it, and whatever source that gives it."""
    (tmp_path / "key").write_bytes(KEY)
    first, second = (encode_sender(SenderPacket(turn, to_ntp(turn), 1, 9), KEY) for turn in range(2))

    async def run() -> int:
        async with responder(key_file=tmp_path / "key", packets_per_s=2) as running:
            stranger = Stranger(running.port)
            await stranger.ask(first)
            for _ in range(5):
                assert await stranger.silence_of(running, first, "replayed")
            return decode_reflected(await stranger.ask(second), KEY).sequence

    assert asyncio.run(run()) == 1


@pytest.mark.parametrize("flood", [hello(b"nonce678", None), b"LPT1\x01"])
def test_a_flood_of_another_service_or_without_the_key_costs_stamp_nothing(
    tmp_path: Path, flood: bytes
) -> None:
    (tmp_path / "key").write_bytes(KEY)
    packet = encode_sender(SenderPacket(0, to_ntp(1), 1, 9), KEY)

    async def run() -> int:
        settings = ReflectorSettings(
            listen="127.0.0.1", port=0, train_port=0, key_file=tmp_path / "key", packets_per_s=5
        )
        running = Reflector(settings)
        await running.start()
        try:
            for data in (flood, hello(b"nonce678", KEY)):
                trains = Stranger(running.train.port)
                for _ in range(5):
                    trains.socket.send(data)
            async with asyncio.timeout(5):
                while running.counters["train.greeted"] < 5:
                    await asyncio.sleep(0.001)
            assert (running.counters["train.malformed"], running.counters["limited"]) == (5, 0)
            return len(await Stranger(running.stamp.port).ask(packet))
        finally:
            running.close()

    assert asyncio.run(run()) == len(packet)


@pytest.mark.parametrize("listen", ["0.0.0.0", "::"])
def test_what_was_sent_to_all_is_not_answered(listen: str) -> None:
    """Else every reflector of a segment would answer one packet, to whatever source it was given."""

    async def run() -> tuple[int, int]:
        async with responder(listen) as running:
            stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            stranger.sendto(TEST_PACKET, ("127.255.255.255", running.port))
            async with asyncio.timeout(5):
                while not (running.counters["reflected"] or running.counters["failed"]):
                    await asyncio.sleep(0.001)
            stranger.close()
            return running.counters["reflected"], running.counters["failed"]

    assert asyncio.run(run()) == (0, 1)


def test_what_the_kernel_throws_away_is_counted() -> None:
    """To its senders it looks like loss: here one can see that it was none."""

    async def run() -> tuple[int, int]:
        async with responder(packets_per_s=100_000, packets_per_s_in_all=100_000) as running:
            stranger = Stranger(running.port)
            before = running.counters["dropped"]
            for _ in range(20_000):  # the event loop takes none of them meanwhile
                stranger.socket.send(TEST_PACKET)
            return before, running.counters["dropped"]

    before, after = asyncio.run(run())
    assert before == 0 < after < 20_000


def test_a_port_that_is_taken_is_one_clear_message() -> None:
    async def run() -> None:
        async with responder() as running:
            wanted = ReflectorSettings(listen="127.0.0.1", port=running.port)
            await StampResponder(wanted, Admission(wanted)).start()

    with pytest.raises(ProbeError, match=r"STAMP: UDP port \d+ of 127.0.0.1: another program uses it"):
        asyncio.run(run())


def test_a_responder_may_be_closed_twice_and_before_it_is_started() -> None:
    async def run() -> None:
        wanted = ReflectorSettings(port=0)
        running = StampResponder(wanted, Admission(wanted))
        running.close()
        await running.start()
        running.close()
        running.close()

    asyncio.run(run())
