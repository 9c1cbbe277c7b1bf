"""A TCP relay between an agent and its broker, which cuts connections where it hurts."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass

CHUNK = 4096


@dataclass(frozen=True, slots=True)
class Cut:
    """How a connection ends before its time; all in bytes, 0 for never."""

    upward: int = 0
    """Cut when the agent has sent so much: about 2,500 is within the handshake."""
    downward: int = 0
    """Swallow what the broker sends from here on, so that acknowledgements do not arrive, and then cut."""
    after_s: float = 0.5
    """How long it swallows."""


class Relay:
    """Listens on a port of its own; each connection draws its fate."""

    def __init__(self, target: int, rng: random.Random, cut_share: float) -> None:
        """``target`` is the broker's port on 127.0.0.1; ``cut_share`` of the connections end early."""
        self._target = target
        self._rng = rng
        self._cut_share = cut_share
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self.is_calm = False
        """Whether nothing is cut any more."""
        self.is_open = True
        """Whether it takes connections."""
        self.connections = 0
        self.cuts = 0

    async def start(self) -> int:
        """Begin to listen; returns the port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    def cut(self) -> None:
        """Cut every connection now."""
        for task in self._open:
            task.cancel()

    async def close(self) -> None:
        """Cut and stop listening."""
        self.cut()
        if self._server is not None:
            self._server.close()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self.connections += 1
        try:
            if self.is_open:
                await self._carry(reader, writer, self._fate())
        except (OSError, asyncio.CancelledError):
            self.cuts += 1
        finally:
            self._open.discard(task)
            writer.transport.abort()

    def _fate(self) -> Cut:
        rng = self._rng
        if self.is_calm or rng.random() >= self._cut_share:
            return Cut()
        if rng.random() < 0.5:
            return Cut(upward=rng.randrange(1, 2_500))
        return Cut(downward=rng.randrange(1_500, 6_000), after_s=rng.uniform(0.1, 1.0))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: Cut) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        ways = [
            asyncio.ensure_future(_pump(reader, far_writer, cut.upward)),
            asyncio.ensure_future(_pump(far_reader, writer, cut.downward)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            if cut.downward and ways[1].done():
                await asyncio.wait(ways[:1], timeout=cut.after_s)
        finally:
            far_writer.transport.abort()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int) -> None:
    """Carry bytes one way until the end of the stream or the limit."""
    carried = 0
    with suppress(OSError):
        while data := await reader.read(CHUNK):
            carried += len(data)
            if limit and carried >= limit:
                return
            writer.write(data)
            await writer.drain()
