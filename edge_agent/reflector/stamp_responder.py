"""A stateful STAMP Session-Reflector (RFC 8762 section 4.3): answers a test packet with one of its size."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Callable, Mapping

from edge_agent.clock import SystemClock
from edge_agent.probes.shared_key import read_key
from edge_agent.probes.stamp_packet import (
    NotAuthentic,
    ReflectedPacket,
    SenderPacket,
    StampError,
    decode_sender,
    encode_reflected,
    reflected_tlvs,
)
from edge_agent.probes.stamp_time import error_estimate, to_ntp
from edge_agent.probes.stamped_udp import (
    Datagram,
    ask_for_stamps,
    dropped,
    forget_transmitted,
    received,
    transmitted,
)
from edge_agent.probes.stamps import Control
from edge_agent.reflector.admission import Admission
from edge_agent.reflector.departure import Departure
from edge_agent.reflector.listening import listen_udp
from edge_agent.reflector.replays import Replays
from edge_agent.reflector.sessions import Sessions
from edge_agent.reflector.settings import ReflectorSettings
from edge_agent.reflector.tally import Tally, came_by

ASK_CLOCK_EVERY_S = 1.0
_UNKNOWN_TTL = 255
_IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)
_IPV6_RECVPKTINFO, _IPV6_PKTINFO = 49, 50
_INFO_4, _INFO_6 = struct.Struct("=i4s4s"), struct.Struct("=16si")


class StampResponder:
    """Answers those that are admitted, from the address that they asked, and never with more bytes."""

    def __init__(
        self,
        settings: ReflectorSettings,
        admission: Admission,
        clock_error_ns: Callable[[], int | None] | None = None,
        sessions: Sessions | None = None,
        tally: Tally | None = None,
    ) -> None:
        self._settings = settings
        self._admission = admission
        self._clock_error_ns = clock_error_ns or SystemClock().error_ns
        self._sessions = sessions or Sessions()
        self._tally = tally or Tally()
        self._replays = Replays()
        self._key: bytes | None = None
        self._socket: socket.socket | None = None
        self._departure = Departure()
        self._error = error_estimate(None)
        self._error_until = 0.0
        self._reflected = self._malformed = self._not_authentic = self._replayed = self._failed = 0

    @property
    def counters(self) -> Mapping[str, int]:
        """Packets reflected, and those that were not and why, since it was started."""
        return {
            "reflected": self._reflected,
            "malformed": self._malformed,
            "not_authentic": self._not_authentic,
            "replayed": self._replayed,
            "failed": self._failed,
            "dropped": dropped(self._socket) if self._socket else 0,
            "sessions": len(self._sessions),
        }

    @property
    def port(self) -> int:
        """The UDP port, once started."""
        return int(self._socket.getsockname()[1]) if self._socket else self._settings.port

    async def start(self) -> None:
        """Listen; raises ProbeError when the port cannot be had, or the key not read."""
        self._key = read_key(self._settings.key_file) if self._settings.key_file else None
        self._socket = opened = listen_udp(self._settings.listen, self._settings.port, "STAMP")
        ask_for_stamps(opened, sent=True)
        if opened.family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
        else:
            opened.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(opened.fileno(), self._drain, opened)

    def close(self) -> None:
        """Stop listening; it may be called twice."""
        if self._socket is None:
            return
        if not self._loop.is_closed():
            self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        self._socket = None

    def _drain(self, opened: socket.socket) -> None:
        forget_transmitted(opened)
        for datagram in received(opened):
            if self._admission.allows(datagram.source[0]) and not self._tally.is_closed(
                came_by(datagram.control)
            ):
                self._reflect(opened, datagram)

    def _reflect(self, opened: socket.socket, datagram: Datagram) -> None:
        """Answer one packet; one that is no test packet, or a signed one again, is counted and not answered.

        Nor does it use up what its source may send: that address may be forged, and with a key it then is.
        """
        try:
            packet = decode_sender(datagram.data, self._key)
        except NotAuthentic:
            self._not_authentic += 1
            return
        except StampError:
            self._malformed += 1
            return
        known = datagram.source[0], packet.ssid, packet.sequence, packet.timestamp
        if self._key and self._replays.knows(*known):
            self._replayed += 1
            return
        if not self._admission.admits(datagram.source[0]):
            return
        if self._key:
            self._replays.remember(*known)
        session = (datagram.source[0], datagram.source[1], packet.ssid)
        number = self._sessions.next(session)
        estimate, control = self._estimate(), reply_control(datagram.control)
        now_ns = time.time_ns()
        reply = reflection(packet, datagram, number, estimate, now_ns + self._departure.lag_ns)
        data = encode_reflected(reply, self._key)
        try:
            opened.sendmsg([data], control, 0, datagram.source)
        except OSError:
            self._failed += 1
            return
        for payload, kernel_ns in transmitted(opened, len(data)):
            if payload == data:
                self._departure.learn(kernel_ns - now_ns)
        self._sessions.sent(session, number)
        self._reflected += 1
        self._tally.took(datagram, len(data))

    def _estimate(self) -> int:
        """The Error Estimate of this machine's clock, asked of the kernel once a second."""
        now = time.monotonic()
        if now >= self._error_until:
            self._error = error_estimate(self._clock_error_ns())
            self._error_until = now + ASK_CLOCK_EVERY_S
        return self._error


def reflection(
    packet: SenderPacket, datagram: Datagram, number: int, estimate: int, leaves_ns: int
) -> ReflectedPacket:
    """The reply to a packet, which leaves at that time (CLOCK_REALTIME, ns)."""
    at = datagram.at
    return ReflectedPacket(
        number,
        to_ntp(leaves_ns),
        estimate,
        packet.ssid,
        to_ntp(at.wall_ns if at.kernel_ns is None else at.kernel_ns),
        packet.sequence,
        packet.timestamp,
        packet.error,
        _UNKNOWN_TTL if datagram.ttl is None else datagram.ttl,
        reflected_tlvs(packet.tlvs),
    )


def reply_control(control: Control) -> Control:
    """What makes a reply leave from the address that the request came to (ip(7), ipv6(7)).

    Without it a machine with several addresses answers from whichever routing prefers, and the sender, whose
    socket is connected, would never see the reply. The interface is left to routing, but for link-local ones.
    The kernel sends nothing from a group's address: what was sent to all gets no answer, not one of each.
    """
    for level, kind, data in control:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            _, _, asked = _INFO_4.unpack_from(data)
            return [(level, kind, _INFO_4.pack(0, asked, bytes(4)))]
        if (level, kind) == (socket.IPPROTO_IPV6, _IPV6_PKTINFO):
            address, index = _INFO_6.unpack_from(data)
            keep = index if address[0] == 0xFE and address[1] & 0xC0 == 0x80 else 0
            return [(level, kind, _INFO_6.pack(address, keep))]
    return []
