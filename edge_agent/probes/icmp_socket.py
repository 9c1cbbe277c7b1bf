"""One ICMP socket of the kernel, with the kernel's own timestamps of what it sends and receives.

Timestamps follow the kernel's Documentation/networking/timestamping.rst. A transmission is recognised by
its content, which the error queue gives back: counting sends (SOF_TIMESTAMPING_OPT_ID) goes wrong once a
send fails, because whether a failed send counts depends on where in the kernel it failed.
"""

from __future__ import annotations

import random
import socket
import struct

from edge_agent.contract import Outcome
from edge_agent.probes.batch_receive import Packet, Sockaddr, receiver
from edge_agent.probes.binding import ProbedLink, bind
from edge_agent.probes.icmp_filter import only_identifier, only_replies
from edge_agent.probes.icmp_packet import ipv4_message
from edge_agent.probes.probe import ProbeError
from edge_agent.probes.socket_errors import interface_index, probe_error
from edge_agent.probes.stamps import SO_TIMESTAMPING, Stamp, kernel_time_ns, stamp_now

__all__ = ["IcmpSocket", "Sockaddr", "Stamp", "kernel_time_ns", "stamp_now"]

_SO_RCVBUFFORCE, _SO_MEMINFO = 33, 55
_SOF_TX_SOFTWARE = 1 << 1
_SOF_RX_SOFTWARE = 1 << 3
_SOF_SOFTWARE = 1 << 4
_STAMPING = _SOF_TX_SOFTWARE | _SOF_RX_SOFTWARE | _SOF_SOFTWARE
_MSG_ERRQUEUE = 0x2000
_IP_RECVTTL, _IPV6_RECVHOPLIMIT = 12, 51
_MEMINFO = struct.Struct("=9I")
"""sk_meminfo: bytes that wait, their limit, ..., packets dropped (include/uapi/linux/sock_diag.h)."""
_BUFFER = 4 << 20
"""Bytes; asked for, because one reply takes about 1 KiB of it and thousands may come at once."""
_HEADERS_SIZE = 128
"""Bytes before the payload of a packet that left: of ICMP, IP with options, and the layers below."""
_PERMISSION = (
    "ICMP is not permitted: run as root: sysctl -w net.ipv4.ping_group_range='0 2147483647', "
    "or give the agent CAP_NET_RAW"
)


class IcmpSocket:
    """A non-blocking socket for the echo messages of one family, bound to a link."""

    def __init__(
        self,
        family: socket.AddressFamily,
        link: ProbedLink,
        rng: random.Random,
        stamping: bool = True,
        size: int = 1472,
    ) -> None:
        """``size`` is the largest payload to expect, bytes; what is longer is cut."""
        self.family = family
        self.interface_index = interface_index(link.device) if link.device else 0
        self._socket, self.raw = _open(family)
        try:
            self._socket.setblocking(False)
            bind(self._socket, link)
            self.identifier = self._identify(link, rng)
            self._prepare()
        except OSError as exc:
            self.close()
            raise probe_error(exc, "set up an ICMP socket") from exc
        except ProbeError:
            self.close()
            raise
        self._receiver = receiver(self._socket, size + _HEADERS_SIZE)
        self._headers = self.raw and family == socket.AF_INET
        self._dropped = 0
        self.stamping = stamping and self._ask_for_stamps()

    def fileno(self) -> int:
        """The descriptor, for the event loop."""
        return self._socket.fileno()

    def send(self, message: bytes, sockaddr: Sockaddr) -> bool:
        """Send; False when the socket is full just now. Raises ProbeError, and then nothing was sent."""
        try:
            self._socket.sendto(message, sockaddr)
        except BlockingIOError:
            return False
        except OSError as exc:
            raise probe_error(exc, f"send to {sockaddr[0]}") from exc
        return True

    def received(self, limit: int) -> list[Packet]:
        """The messages that wait, up to a number of them, without their IP headers."""
        packets = self._receiver.read(limit, 0)
        if not self._headers:
            return packets
        return [
            (message, kernel_ns, ttl, source)
            for packet, kernel_ns, _, source in packets
            for message, ttl in (ipv4_message(packet),)
        ]

    def transmitted(self, limit: int) -> list[Packet]:
        """Packets that left, as they left, lower layers' headers included, with the kernel's time, ns."""
        return self._receiver.read(limit, _MSG_ERRQUEUE)

    def overflowed(self) -> bool:
        """Whether the kernel has dropped replies since it was asked last, the socket being full.

        It also counts damaged messages as dropped; but only a socket that nobody reads is full, and it stays
        so until it is read: therefore ask before reading.
        """
        try:
            facts = _MEMINFO.unpack(self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))
        except (OSError, struct.error):  # before Linux 4.12
            return False
        waiting, limit, dropped = facts[0], facts[1], facts[8]
        more, self._dropped = dropped != self._dropped, dropped
        return bool(more and waiting > limit // 2)

    def close(self) -> None:
        """Close the descriptor."""
        self._socket.close()

    def _identify(self, link: ProbedLink, rng: random.Random) -> int:
        if self.raw:
            identifier = rng.getrandbits(16)
            only_identifier(self._socket, identifier)
            return identifier
        # The kernel gives each datagram socket an identifier of its own, and only its own replies.
        if not link.source:
            self._socket.bind(("", 0))
        return int(self._socket.getsockname()[1])

    def _prepare(self) -> None:
        """Room for many replies, and the hop count of each where the packet itself does not show it."""
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        except OSError:  # without CAP_NET_ADMIN, net.core.rmem_max is the limit
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        if self.family == socket.AF_INET6:
            self._socket.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVHOPLIMIT, 1)
        elif not self.raw:
            self._socket.setsockopt(socket.SOL_IP, _IP_RECVTTL, 1)

    def _ask_for_stamps(self) -> bool:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, _STAMPING)
        except OSError:
            return False  # user space stamps then, and the readings say so
        return True


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
    only_replies(raw)
    return raw, True
