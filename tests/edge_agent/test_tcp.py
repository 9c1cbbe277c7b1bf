"""TCP connections: the kernel's time of a handshake, whatever keeps this process from seeing it."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import time

import pytest

from edge_agent.contract import Outcome
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.probe import ProbeError
from edge_agent.probes.resolve import Endpoint
from edge_agent.probes.tcp import connect_tcp, open_tcp

HERE = Endpoint(socket.AF_INET, "127.0.0.1")
LINK = ProbedLink("here")
MS = 1_000_000


async def connect(port: int, hog_s: float = 0) -> tuple[int, int]:
    """Connect while something else holds the event loop, from when the connection was asked for."""
    with open_tcp(HERE, LINK) as opened:
        task = asyncio.create_task(connect_tcp(opened, HERE, port))
        await asyncio.sleep(0)
        time.sleep(hog_s)
        return await task


def test_the_time_is_the_handshakes_not_that_of_a_busy_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        code, took_ns = asyncio.run(connect(listener.getsockname()[1], hog_s=0.4))
    assert code == 0
    assert 0 < took_ns < 200 * MS


def test_a_request_that_was_sent_again_counts_from_the_first() -> None:
    """A full accept queue drops a SYN (listen(2)); the kernel sends it again after about a second."""

    async def main() -> tuple[int, int]:
        with socket.socket() as listener, socket.socket() as filler:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            filler.connect(listener.getsockname())
            loop = asyncio.get_running_loop()
            loop.call_later(0.3, lambda: listener.accept()[0].close())
            return await connect(listener.getsockname()[1])

    code, took_ns = asyncio.run(main())
    assert code == 0
    assert took_ns > 900 * MS


def test_an_answer_that_came_while_the_process_was_busy_is_no_silence() -> None:
    async def main(port: int) -> int:
        with open_tcp(HERE, LINK) as opened:
            task = asyncio.create_task(connect_tcp(opened, HERE, port, within_s=0.05))
            await asyncio.sleep(0)
            time.sleep(0.1)
            return (await task)[0]

    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert asyncio.run(main(listener.getsockname()[1])) == 0


def test_a_connection_that_is_reset_at_once_was_one() -> None:
    """Such as a server that is full; it was connected to, and a client knows how long that took."""

    async def main() -> tuple[int, int]:
        with socket.create_server(("127.0.0.1", 0)) as listener, open_tcp(HERE, LINK) as opened:
            task = asyncio.create_task(connect_tcp(opened, HERE, listener.getsockname()[1], 1))
            await asyncio.sleep(0)
            accepted, _ = listener.accept()
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            accepted.close()
            time.sleep(0.3)
            return await task

    code, took_ns = asyncio.run(main())
    assert code == 0
    assert 0 < took_ns < 200 * MS


def test_a_closed_port_is_an_error_code_of_the_network() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert asyncio.run(connect(port))[0] == errno.ECONNREFUSED


def test_a_socket_that_cannot_be_kept_on_the_link_is_told() -> None:
    with pytest.raises(ProbeError) as caught:
        open_tcp(HERE, ProbedLink("here", interface="nope0"))
    assert caught.value.outcome is Outcome.NO_INTERFACE
