"""The UDP socket that a train leaves by: nothing is fragmented, and the kernel stamps what leaves."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import time
from collections.abc import Callable

from edge_agent.contract import Outcome
from edge_agent.probes.binding import ProbedLink, bind
from edge_agent.probes.probe import ProbeError
from edge_agent.probes.resolve import Endpoint
from edge_agent.probes.socket_errors import probe_error
from edge_agent.probes.stamps import SO_TIMESTAMPING, Control, kernel_time_ns

LONGEST_MESSAGE = 2_048
_MTU_DISCOVER, _MTU = {False: 10, True: 23}, {False: 14, True: 24}
"""IP_MTU_DISCOVER and IP_MTU, and those of IPv6, by whether the socket is of IPv6."""
_DO_NOT_FRAGMENT = 2
_MSG_ERRQUEUE = 0x2000
_SO_SNDBUFFORCE = 32
_SEND_BUFFER = 4 << 20
"""A whole train at once: where the local interface is slow, its queue is part of what is measured."""
_TELL_STAMPS = 1 << 4 | 1 << 7 | 1 << 11
"""Software stamps, by the number of the packet, without the packet itself (timestamping.rst)."""
_STAMP_SENT = 1 << 1
_RECVERR = ((socket.SOL_IP, 11), (socket.IPPROTO_IPV6, 25))
_EXTENDED_ERROR = struct.Struct("=IBBBBII")
_FROM_STAMPING = 4
_MOST_STAMPS = 4_096


class TrainSocket:
    """A connected socket of a link; what cannot be sent raises ProbeError."""

    def __init__(self, link: ProbedLink, endpoint: Endpoint, port: int) -> None:
        self._is_v6 = endpoint.family == socket.AF_INET6
        self.header_bytes = 48 if self._is_v6 else 28
        """Of IP and UDP."""
        self._place = f"UDP port {port} of {endpoint.address}"
        self._left_ns: dict[int, int] = {}
        try:
            self._socket = socket.socket(endpoint.family, socket.SOCK_DGRAM)
        except OSError as exc:
            raise probe_error(exc, "open a UDP socket") from exc
        try:
            self._prepare(link)
            self._socket.connect(endpoint.sockaddr(port))
        except OSError as exc:
            self.close()
            raise probe_error(exc, f"reach {endpoint.address}") from exc
        except ProbeError:
            self.close()
            raise

    @property
    def largest_packet(self) -> int:
        """The longest IP packet that the way is known to take whole."""
        level = socket.IPPROTO_IPV6 if self._is_v6 else socket.IPPROTO_IP
        return int(self._socket.getsockopt(level, _MTU[self._is_v6]))

    async def send_train(self, packets: list[bytes]) -> list[int]:
        """Send packets one right after the other; when each was handed to the kernel (monotonic, ns).

        The event loop stands still meanwhile: a pause within a train would make a slower sender of us.
        """
        self._take_stamps()
        self._left_ns.clear()
        self._stamp(_TELL_STAMPS | _STAMP_SENT)
        try:
            return [await self._hand_over(packet) for packet in packets]
        finally:
            self._stamp(_TELL_STAMPS)

    def packets_per_ns(self) -> float | None:
        """How fast the last train left this machine; None when the kernel stamped fewer than two packets."""
        self._take_stamps()
        if len(self._left_ns) < 2:
            return None
        first, last = min(self._left_ns), max(self._left_ns)
        return (last - first) / max(self._left_ns[last] - self._left_ns[first], 1)

    async def send(self, message: bytes) -> None:
        """Send one message."""
        await self._hand_over(message)

    async def receive(self) -> bytes:
        """The next message; raises ProbeError when nothing listens at the other end."""
        while True:
            try:
                return self._socket.recv(LONGEST_MESSAGE)
            except BlockingIOError:
                await self._wait(asyncio.get_running_loop().add_reader, self._stop_reading)
            except OSError as exc:
                if exc.errno != errno.EMSGSIZE:  # a router's word, which the kernel has noted (IP_MTU)
                    raise self._error(exc) from exc

    def close(self) -> None:
        """Close the descriptor."""
        self._socket.close()

    def _prepare(self, link: ProbedLink) -> None:
        self._socket.setblocking(False)
        bind(self._socket, link)
        level = socket.IPPROTO_IPV6 if self._is_v6 else socket.IPPROTO_IP
        self._socket.setsockopt(level, _MTU_DISCOVER[self._is_v6], _DO_NOT_FRAGMENT)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _SEND_BUFFER)
        except OSError:  # without CAP_NET_ADMIN, net.core.wmem_max is the limit
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)

    def _stamp(self, flags: int) -> None:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, flags)
        except OSError:  # user space's times serve then
            return

    async def _hand_over(self, packet: bytes) -> int:
        told = False
        while True:
            at_ns = time.monotonic_ns()
            try:
                self._socket.send(packet)
                return at_ns
            except BlockingIOError:
                await self._wait(asyncio.get_running_loop().add_writer, self._stop_writing)
            except OSError as exc:
                if told or exc.errno != errno.EMSGSIZE:  # it may be a router's word on an earlier packet
                    raise self._error(exc) from exc
                told = True

    async def _wait(self, watch: Callable[..., None], unwatch: Callable[[], None]) -> None:
        """Until the socket is ready; stamps are taken as well, or they would make it look ready for ever."""
        ready = asyncio.Event()
        watch(self._socket.fileno(), ready.set)
        try:
            await ready.wait()
        finally:
            unwatch()
        self._take_stamps()

    def _stop_reading(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket.fileno())

    def _stop_writing(self) -> None:
        asyncio.get_running_loop().remove_writer(self._socket.fileno())

    def _error(self, exc: OSError) -> ProbeError:
        if exc.errno == errno.ECONNREFUSED:
            message = f"nothing listens on {self._place}: does 'edge-agent reflect' run there?"
            return ProbeError(Outcome.UNREACHABLE, message)
        if exc.errno == errno.EMSGSIZE:
            message = "the way does not take packets of that length whole: lower packet_bytes"
            return ProbeError(Outcome.FAILED, message)
        return probe_error(exc, f"send to {self._place}")

    def _take_stamps(self) -> None:
        for _ in range(_MOST_STAMPS):
            try:
                _, control, _, _ = self._socket.recvmsg(0, 256, _MSG_ERRQUEUE)
            except OSError:
                return
            number, left_ns = _stamp_number(control), kernel_time_ns(control)
            if number is not None and left_ns is not None:
                self._left_ns[number] = left_ns


def _stamp_number(control: Control) -> int | None:
    """Which packet a stamp is of, counted from the first one after stamping began."""
    for level, kind, data in control:
        if (level, kind) in _RECVERR and len(data) >= _EXTENDED_ERROR.size:
            _, origin, _, _, _, _, number = _EXTENDED_ERROR.unpack_from(data)
            return int(number) if origin == _FROM_STAMPING else None
    return None
