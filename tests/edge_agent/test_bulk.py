"""Bulk transfers over loopback, and the probe against responders that misbehave."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from edge_agent.contract import Outcome
from edge_agent.probes.bulk_packet import encode_offer, encode_result
from edge_agent.probes.probe import Measurement, ProbeError
from tests.edge_agent.bulk_rig import KEY, NONCE, probed, responder
from tests.edge_agent.columns import named


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
        assert isinstance(writer.transport, asyncio.Transport)
        writer.transport.pause_reading()
        await asyncio.sleep(3)
        writer.close()

    got = named(asyncio.run(against(lazy)))
    assert got["spent_bytes"] is not None and got["spent_bytes"] < 3_000_000
    assert got["duration_us"] is not None and got["duration_us"] > 100_000


def test_every_socket_is_closed_after_a_round() -> None:
    with socket.socket() as before:
        lowest = before.fileno()
    measure(max_bytes=200_000)
    with socket.socket() as after:
        assert after.fileno() == lowest
