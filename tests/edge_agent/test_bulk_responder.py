"""The bulk responder against strangers: no more than a few, and nobody keeps others out."""

from __future__ import annotations

import asyncio

import pytest

from edge_agent.probes.bulk_packet import encode_request, parse_offer
from edge_agent.reflector.bulk_responder import MOST_OF_ONE, MOST_SILENT, MOST_TRANSFERS
from tests.edge_agent.bulk_rig import probed, responder


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
