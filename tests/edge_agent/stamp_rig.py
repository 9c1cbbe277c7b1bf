"""A STAMP responder and probe on loopback, and a stranger who sends what it likes."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from edge_agent.contract import Flag
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.stamp import StampProbe
from edge_agent.probes.stamp_packet import SenderPacket, encode_sender
from edge_agent.probes.stamp_settings import StampSettings
from edge_agent.probes.stamp_time import to_ntp
from edge_agent.reflector.admission import Admission
from edge_agent.reflector.settings import ReflectorSettings
from edge_agent.reflector.stamp_responder import StampResponder

KEY = b"0123456789abcdef"
QUICK = {"count": 3, "spacing_ms": 5, "timeout_s": 0.6}
STAMPED = Flag.KERNEL_SENT | Flag.KERNEL_RECEIVED
TEST_PACKET = encode_sender(SenderPacket(0, to_ntp(1), 1, 9), None)


@asynccontextmanager
async def responder(listen: str = "127.0.0.1", **settings: Any) -> AsyncIterator[StampResponder]:
    wanted = ReflectorSettings(listen=listen, port=0, **settings)
    running = StampResponder(wanted, Admission(wanted), lambda: 1_000)
    await running.start()
    try:
        yield running
    finally:
        running.close()


@asynccontextmanager
async def probe(port: int, **settings: Any) -> AsyncIterator[StampProbe]:
    made = StampProbe(
        StampSettings(port=port, **{**QUICK, **settings}), random.Random(1), clock_error_ns=lambda: 2_000
    )
    try:
        yield made
    finally:
        made.close()


class Stranger:
    """A socket of a test's own, which sends a responder what it likes."""

    def __init__(self, port: int, address: str = "127.0.0.1") -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.connect((address, port))

    async def ask(self, data: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        self.socket.send(data)
        async with asyncio.timeout(5):
            return await loop.sock_recv(self.socket, 4_096)

    async def silence_of(self, running: StampResponder, data: bytes, counter: str) -> bool:
        """Whether there is no reply, once a counter shows that the packet has been dealt with."""
        before = running.counters[counter]
        self.socket.send(data)
        async with asyncio.timeout(5):
            while running.counters[counter] == before:
                await asyncio.sleep(0.001)
        try:
            self.socket.recv(4_096)
        except BlockingIOError:
            return True
        return False


LINK = ProbedLink("here", target="127.0.0.1")
