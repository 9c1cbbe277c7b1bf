"""One ICMP socket of the kernel, with the kernel's own timestamps of what it sends and receives.

Timestamps follow the kernel's Documentation/networking/timestamping.rst. A transmission is recognised by
its content, which the error queue gives back: counting sends (SOF_TIMESTAMPING_OPT_ID) goes wrong once a
send fails, because whether a failed send counts depends on where in the kernel it failed.
"""

from __future__ import annotations

import errno
import random
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

from edge_agent.contract import Outcome
from edge_agent.probes.icmp_packet import without_ip_header
from edge_agent.probes.probe import ProbeError
from edge_agent.probes.resolve import Endpoint
from edge_agent.probes.socket_errors import bind_to_interface, interface_index, probe_error

_SO_TIMESTAMPING = 37
_SO_TIMESTAMPING_NEW = 65
_SOF_TX_SOFTWARE = 1 << 1
_SOF_RX_SOFTWARE = 1 << 3
_SOF_SOFTWARE = 1 << 4
_STAMPING = _SOF_TX_SOFTWARE | _SOF_RX_SOFTWARE | _SOF_SOFTWARE
_MSG_ERRQUEUE = 0x2000
_SOL_RAW, _ICMP_FILTER = 255, 1
_ICMP6_FILTER = 1
_V6_REPLY = 129
_CONTROL_SIZE = 512
_PACKET_SIZE = 2048
_DRAIN_LIMIT = 4096
_PERMISSION = (
    "ICMP is not permitted: run as root: sysctl -w net.ipv4.ping_group_range='0 2147483647', "
    "or give the agent CAP_NET_RAW"
)


@dataclass(frozen=True, slots=True)
class Stamp:
    """When something happened: user space's two clocks at the time it saw it, and the kernel's wall clock."""

    monotonic_ns: int
    wall_ns: int
    kernel_ns: int | None = None
    """CLOCK_REALTIME, ns; None when the kernel did not stamp it."""


def stamp_now(kernel_ns: int | None = None) -> Stamp:
    """A stamp of this moment."""
    return Stamp(time.monotonic_ns(), time.time_ns(), kernel_ns)


class IcmpSocket:
    """A non-blocking socket for echo messages of one family, on one interface or on any."""

    def __init__(
        self, family: socket.AddressFamily, interface: str, rng: random.Random, stamping: bool = True
    ) -> None:
        self.family = family
        self.interface_index = interface_index(interface) if interface else 0
        self._socket, self.raw = _open(family)
        try:
            self._socket.setblocking(False)
            if interface:
                bind_to_interface(self._socket, interface)
            self.identifier = self._identify(rng)
        except OSError as exc:
            self.close()
            raise probe_error(exc, "set up an ICMP socket") from exc
        except ProbeError:
            self.close()
            raise
        if stamping:
            self._ask_for_stamps()

    def fileno(self) -> int:
        """The descriptor, for the event loop."""
        return self._socket.fileno()

    def send(self, message: bytes, endpoint: Endpoint) -> Stamp:
        """Send; returns the moment before the call. Raises ProbeError, and then nothing was sent."""
        before = stamp_now()
        try:
            self._socket.sendto(message, endpoint.sockaddr())
        except OSError as exc:
            raise probe_error(exc, f"send to {endpoint.address}") from exc
        return before

    def received(self) -> Iterator[tuple[bytes, Endpoint, Stamp]]:
        """The messages that wait, without their IP header, each with its source."""
        for packet, kernel_ns, sockaddr in self._waiting(0):
            message = without_ip_header(packet) if self.raw and self.family == socket.AF_INET else packet
            scope = sockaddr[3] if len(sockaddr) > 3 else 0
            source = Endpoint(self.family, str(sockaddr[0]).partition("%")[0], scope)
            yield message, source, stamp_now(kernel_ns)

    def transmitted(self) -> Iterator[tuple[bytes, int]]:
        """Packets that left, as they left, lower layers' headers included, with the kernel's time, ns."""
        for packet, kernel_ns, _ in self._waiting(_MSG_ERRQUEUE):
            if kernel_ns is not None:
                yield packet, kernel_ns

    def close(self) -> None:
        """Close the descriptor."""
        self._socket.close()

    def _identify(self, rng: random.Random) -> int:
        if self.raw:
            return rng.getrandbits(16)
        # The kernel gives each datagram socket an identifier of its own, and only its own replies.
        self._socket.bind(("", 0))
        return int(self._socket.getsockname()[1])

    def _ask_for_stamps(self) -> None:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, _STAMPING)
        except OSError:
            return  # user space stamps then, and the readings say so

    def _waiting(self, flags: int) -> Iterator[tuple[bytes, int | None, tuple[str, int, int, int]]]:
        for _ in range(_DRAIN_LIMIT):
            try:
                packet, control, _, source = self._socket.recvmsg(_PACKET_SIZE, _CONTROL_SIZE, flags)
            except OSError as exc:
                if flags or exc.errno in (errno.EAGAIN, errno.EINTR, errno.EBADF):
                    return
                continue  # an asynchronous error, cleared by having been told
            yield packet, kernel_time_ns(control), source


def kernel_time_ns(control: list[tuple[int, int, bytes]]) -> int | None:
    """The software timestamp among control messages: the first of three timespecs, 32 or 64 bits a field."""
    for level, kind, data in control:
        if level == socket.SOL_SOCKET and kind in (_SO_TIMESTAMPING, _SO_TIMESTAMPING_NEW):
            seconds, nanoseconds = struct.unpack_from("=qq" if len(data) >= 48 else "=ii", data)
            return seconds * 1_000_000_000 + nanoseconds or None
    return None


def _open(family: socket.AddressFamily) -> tuple[socket.socket, bool]:
    """A datagram socket where ping_group_range allows it, else a raw one (which needs CAP_NET_RAW)."""
    protocol = socket.IPPROTO_ICMPV6 if family == socket.AF_INET6 else socket.IPPROTO_ICMP
    try:
        return socket.socket(family, socket.SOCK_DGRAM, protocol), False
    except PermissionError:
        pass
    except OSError as exc:
        raise probe_error(exc, "open an ICMP socket") from exc
    try:
        raw = socket.socket(family, socket.SOCK_RAW, protocol)
    except PermissionError as exc:
        raise ProbeError(Outcome.DENIED, _PERMISSION) from exc
    except OSError as exc:
        raise probe_error(exc, "open an ICMP socket") from exc
    _only_replies(raw)
    return raw, True


def _only_replies(raw: socket.socket) -> None:
    """Keep all but echo replies from waking the agent (a set bit blocks a type)."""
    if raw.family == socket.AF_INET6:
        blocked = [0xFFFFFFFF] * 8
        blocked[_V6_REPLY >> 5] &= ~(1 << (_V6_REPLY & 31))
        raw.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("=8I", *blocked))
    else:
        raw.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", 0xFFFFFFFF & ~1))
