"""Bulk transfers: the probe and its responder, over loopback, and each against strangers."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.contract import KINDS, Outcome
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.bulk import BulkProbe, BulkSettings, reading
from edge_agent.probes.bulk_packet import (
    BulkError,
    encode_offer,
    encode_request,
    encode_result,
    parse_offer,
    parse_request,
    parse_result,
)
from edge_agent.probes.bulk_transfer import Watch
from edge_agent.probes.probe import Measurement, ProbeError
from edge_agent.probes.tcp_info import TcpInfo, parse_tcp_info
from edge_agent.reflector.admission import Admission
from edge_agent.reflector.bulk_responder import MOST_OF_ONE, MOST_SILENT, MOST_TRANSFERS, BulkResponder
from edge_agent.reflector.settings import ReflectorSettings

NONCE, KEY = b"nonce67890123456", b"0123456789abcdef"
KEYS = pytest.mark.parametrize("key", [None, KEY])


def named(measurement: Measurement) -> dict[str, int | None]:
    columns = [column.name for column in KINDS["bulk"].columns]
    return dict(zip(columns, measurement.values, strict=True))


@asynccontextmanager
async def responder(**settings: Any) -> AsyncIterator[BulkResponder]:
    wanted = ReflectorSettings(**{"train_port": 0, "bulk": True, **settings})
    running = BulkResponder(wanted, Admission(wanted))
    await running.start()
    try:
        yield running
    finally:
        running.close()


async def probed(port: int, target: str = "127.0.0.1", **settings: Any) -> Measurement:
    probe = BulkProbe(BulkSettings(port=port, **settings))
    return await probe(ProbedLink("a", target=target, interface="lo"))


def measure(target: str = "127.0.0.1", theirs: dict[str, Any] | None = None, **settings: Any) -> Measurement:
    async def run() -> Measurement:
        async with responder(**(theirs or {})) as running:
            return await probed(running.port, target, **settings)

    return asyncio.run(run())


@pytest.mark.parametrize("target", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("max_bytes", [200_000, 3_000_000])
def test_a_transfer_in_both_families_keeps_to_its_cap(target: str, max_bytes: int) -> None:
    got = named(measure(target, max_bytes=max_bytes))
    assert got["spent_bytes"] is not None and 0.5 * max_bytes < got["spent_bytes"] <= max_bytes
    assert got["goodput_kbps"] and got["duration_us"] and got["retransmitted"] is not None
    assert got["rtt_min_us"] is not None and got["rtt_max_us"] is not None
    assert got["rtt_min_us"] <= got["rtt_max_us"]


def test_the_responders_cap_is_kept_as_well() -> None:
    got = named(measure(theirs={"bulk_max_mb": 1}, max_bytes=5_000_000))
    assert got["spent_bytes"] is not None and 1_000_000 <= got["spent_bytes"] < 1_200_000


def test_both_ends_with_the_same_key(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_bytes(KEY)
    assert named(measure(theirs={"key_file": key_file}, key_file=key_file))["goodput_kbps"]


@pytest.mark.parametrize("ours", [None, b"another key, 0123456789"])
def test_another_key_or_none_moves_no_data(tmp_path: Path, ours: bytes | None) -> None:
    theirs, mine = tmp_path / "theirs", tmp_path / "mine"
    theirs.write_bytes(KEY)
    mine.write_bytes(ours or b"")

    async def run() -> None:
        async with responder(key_file=theirs) as running:
            with pytest.raises(ProbeError, match="broke the transfer off after") as caught:
                await probed(running.port, key_file=mine if ours else None)
            assert caught.value.outcome is Outcome.FAILED and "key" in caught.value.message
            assert (running.counters["malformed"], running.counters["bytes"]) == (1, 0)

    asyncio.run(run())


def test_a_source_that_is_not_allowed_and_a_closed_port_say_what_to_do() -> None:
    async def run() -> None:
        async with responder(allow=("192.0.2.0/24",)) as running:
            with pytest.raises(ProbeError, match=r"no offer from TCP port .* allow this machine"):
                await probed(running.port)
            port = running.port
        with pytest.raises(ProbeError, match="nothing listens on TCP port") as caught:
            await probed(port)
        assert caught.value.outcome is Outcome.UNREACHABLE

    asyncio.run(run())


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def against(serve: Serve, **settings: Any) -> Measurement:
    """The probe against a responder of a test's own."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        return await probed(server.sockets[0].getsockname()[1], timeout_s=1, **settings)
    finally:
        server.close()


def test_a_responder_that_says_nothing_is_an_error_in_time() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    with pytest.raises(ProbeError, match="no offer"):
        asyncio.run(against(silent))


@pytest.mark.parametrize("answer", [b"", b"rubbish" * 6, encode_result(NONCE, 5, 5, None)])
def test_a_responder_that_answers_rubbish_is_an_error(tmp_path: Path, answer: bytes) -> None:
    key_file = tmp_path / "key"
    key_file.write_bytes(KEY)

    async def rubbish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(encode_offer(NONCE, 100_000))
        while await reader.read(65_536):
            pass
        writer.write(answer)
        writer.close()

    with pytest.raises(ProbeError, match="broke the transfer off"):
        asyncio.run(against(rubbish, key_file=key_file))


@pytest.mark.parametrize(("received", "duration_ns"), [(1 << 63, 1), (90_000, 1), (10, 1 << 63)])
def test_a_responder_that_tells_what_cannot_be_has_measured_nothing(received: int, duration_ns: int) -> None:
    async def boast(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(encode_offer(NONCE, 90_000))
        while await reader.read(65_536):
            pass
        writer.write(encode_result(NONCE, received, duration_ns, None))
        writer.close()

    with pytest.raises(ProbeError, match="tells what cannot be: ") as caught:
        asyncio.run(against(boast))
    assert caught.value.outcome is Outcome.FAILED


def test_a_responder_that_stops_reading_is_reported_by_what_it_acknowledged() -> None:
    async def lazy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
        writer.write(encode_offer(NONCE, 10_000_000))
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(3)
        writer.close()

    got = named(asyncio.run(against(lazy)))
    assert got["spent_bytes"] is not None and got["spent_bytes"] < 3_000_000
    assert got["duration_us"] is not None and got["duration_us"] > 100_000


async def _request(port: int, data: bytes) -> bytes:
    """What a responder says after its offer, to a client that says this."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    nonce, _ = parse_offer(await reader.readexactly(28))
    writer.write(data or encode_request(nonce, 1 << 40, None))
    writer.write_eof()
    try:
        return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize("data", [b"", b"x" * 28, b"x"])
def test_a_request_for_too_much_or_no_request_is_turned_away(data: bytes) -> None:
    async def run() -> None:
        async with responder() as running:
            assert await _request(running.port, data) == b""
            assert running.counters["taken"] == 0
            assert running.counters["malformed"] + running.counters["broken"] == 1

    asyncio.run(run())


def test_no_more_than_a_few_transfers_at_once() -> None:
    async def run() -> None:
        async with responder() as running:
            first = [await visitor(running.port, host // MOST_OF_ONE) for host in range(MOST_TRANSFERS)]
            for reader, writer in first:
                nonce, _ = parse_offer(await reader.readexactly(28))
                writer.write(encode_request(nonce, 10, None))
                writer.write(b"x")
            async with asyncio.timeout(5):
                while running.counters["bytes"] < MOST_TRANSFERS:
                    await asyncio.sleep(0.001)
            reader, writer = await visitor(running.port, 9)
            assert await reader.read() == b"" and running.counters["busy"] == 1
            for _, each in [*first, (reader, writer)]:
                each.close()

    asyncio.run(run())


async def visitor(port: int, host: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection from an address of its own."""
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(f"127.0.0.{host + 1}", 0))


@pytest.mark.parametrize("hosts", [1, 20])
def test_silent_connections_keep_nobody_out(hosts: int) -> None:
    async def run() -> int:
        async with responder() as running:
            silent = [await visitor(running.port, turn % hosts) for turn in range(2 * MOST_SILENT)]
            for reader, _ in silent[-4:]:
                await reader.readexactly(28)
            await probed(running.port, max_bytes=100_000)
            for _, each in silent:
                each.close()
            return running.counters["taken"]

    assert asyncio.run(run()) == 1


def test_one_source_leaves_room_for_another() -> None:
    async def run() -> tuple[bytes, bytes]:
        async with responder() as running:
            guests = [await visitor(running.port, 0) for _ in range(MOST_OF_ONE + 1)]
            for reader, writer in guests:
                nonce, _ = parse_offer(await reader.readexactly(28))
                writer.write(encode_request(nonce, 10, None))
                writer.write(b"x")
            async with asyncio.timeout(5):
                said = await guests[-1][0].read()
            reader, writer = await visitor(running.port, 1)
            offer = await reader.readexactly(28)
            for _, each in [*guests, (reader, writer)]:
                each.close()
            return said, offer[:4]

    assert asyncio.run(run()) == (b"", b"LPB1")


def test_every_socket_is_closed_after_a_round() -> None:
    with socket.socket() as before:
        lowest = before.fileno()
    measure(max_bytes=200_000)
    with socket.socket() as after:
        assert after.fileno() == lowest


def test_what_retransmissions_cost_is_counted_and_foreseen() -> None:
    info = TcpInfo(1_000, 20_000, 3, 19_000, 40_000, 50_000, 80)
    watch = Watch(socket.AF_INET, info, 25_000, 47_000)
    assert watch.spent_bytes == 50_000 + 80 * 52
    assert watch.will_spend(0) == 50_000 + 2 * 50 * 52 + 1_000
    got = named(reading(watch, (40_000, 32_000_000)))
    assert (got["goodput_kbps"], got["duration_us"], got["retransmitted"]) == (10_000, 32_000, 3)
    assert (got["rtt_min_us"], got["rtt_max_us"]) == (19_000, 25_000)


def test_nothing_delivered_is_null_not_zero() -> None:
    got = named(reading(Watch(socket.AF_INET), (0, 0)))
    assert got["goodput_kbps"] is got["duration_us"] is got["retransmitted"] is got["rtt_min_us"] is None


def test_the_kernels_structure_is_read_as_far_as_it_goes() -> None:
    raw = bytearray(232)
    for form, at, value in (
        ("=I", 16, 1_448),
        ("=I", 68, 20_000),
        ("=I", 100, 2),
        ("=Q", 120, 9),
        ("=I", 136, 5),
    ):
        struct.pack_into(form, raw, at, value)
    struct.pack_into("=I", raw, 140, 6)
    struct.pack_into("=I", raw, 148, 19_000)
    struct.pack_into("=Q", raw, 200, 10)
    assert parse_tcp_info(bytes(raw)) == TcpInfo(1_448, 20_000, 2, 19_000, 9, 10, 11)
    assert parse_tcp_info(bytes(raw[:104])) == TcpInfo(1_448, 20_000, 2, None, None, None, None)
    assert parse_tcp_info(bytes(raw[:103])) is None


@KEYS
def test_messages_come_back_as_they_were(key: bytes | None) -> None:
    assert parse_offer(encode_offer(NONCE, 5)) == (NONCE, 5)
    assert parse_request(encode_request(NONCE, 7, key), NONCE, key) == 7
    assert parse_result(encode_result(NONCE, 7, 9, key), NONCE, key) == (7, 9)


def test_a_signature_of_another_connection_is_refused() -> None:
    other = bytes(16)
    with pytest.raises(BulkError):
        parse_request(encode_request(other, 7, KEY), NONCE, KEY)
    with pytest.raises(BulkError):
        parse_result(encode_result(NONCE, 7, 9, None), NONCE, KEY)


@given(st.binary(max_size=60), st.sampled_from([None, KEY]))
def test_parsers_survive_anything(data: bytes, key: bytes | None) -> None:
    for parse in (
        parse_offer,
        lambda each: parse_request(each, NONCE, key),
        lambda each: parse_result(each, NONCE, key),
    ):
        with pytest.raises(BulkError):
            parse(data)
    parse_tcp_info(data)


@pytest.mark.parametrize(("wrong", "name"), [({"port": 0}, "port"), ({"max_bytes": 5}, "max_bytes")])
def test_a_setting_out_of_range_is_named(wrong: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=f"probe.bulk: {name} is"):
        BulkSettings(**wrong)
