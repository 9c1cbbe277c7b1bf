"""One STAMP session on a socket of its own."""

from __future__ import annotations

import asyncio
import socket
import time

from edge_agent.probes.socket_errors import probe_error
from edge_agent.probes.stamp_packet import PLAIN_SIZE, SIGNED_SIZE
from edge_agent.probes.stamp_session import Session
from edge_agent.probes.stamped_udp import moment, received, transmitted


class Exchange:
    """A session on a socket of its own, which is connected: replies of others do not reach it."""

    def __init__(self, opened: socket.socket, session: Session) -> None:
        self.session = session
        self._settled = asyncio.Event()
        self._refused = False
        self._socket = opened
        self._size = (SIGNED_SIZE if session.key else PLAIN_SIZE) + len(session.tlvs)

    @property
    def is_refused(self) -> bool:
        """Whether we were told that nothing listens there, and nothing has come that would contradict it.

        Anybody can tell that: a reply counts for more.
        """
        return self._refused and all(sample.reply is None for sample in self.session.samples)

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing left to wait for."""
        return not self.session.missing or self.session.is_closed

    def send(self, measures: bool = True) -> None:
        """Send the next packet; raises ProbeError when this machine cannot."""
        message = self.session.packet(moment(), measures)
        try:
            try:
                self._socket.send(message)
            except OSError as told:  # perhaps an answer to an earlier packet; what is not is told again
                self._refused |= isinstance(told, ConnectionRefusedError)
                self._socket.send(message)
        except OSError as exc:
            self.session.unsent(measures)
            raise probe_error(exc, "send a STAMP packet") from exc

    def drain(self) -> None:
        """Take all that waits: the kernel's stamps of what left, then the replies."""
        for payload, kernel_ns in transmitted(self._socket, self._size):
            self.session.transmitted(payload, kernel_ns)
        try:
            for datagram in received(self._socket):
                self.session.received(datagram.data, datagram.at, datagram.ttl)
        except ConnectionRefusedError:
            self._refused = True
        if self.is_settled:
            self._settled.set()

    async def wait(self, until: float) -> None:
        """Wait for what is missing, until then (monotonic, s)."""
        self._settled.clear()
        self.drain()
        try:
            async with asyncio.timeout(max(until - time.monotonic(), 0)):
                await self._settled.wait()
        except TimeoutError:
            self.drain()

    def watch(self) -> None:
        """Let the event loop drain it."""
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self.drain)

    def rest(self) -> None:
        """Keep the socket, but leave what comes in it until ``drain`` is called."""
        asyncio.get_running_loop().remove_reader(self._socket.fileno())

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
