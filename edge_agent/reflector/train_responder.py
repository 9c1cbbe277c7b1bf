"""The far end of capacity trains: notes when each packet came, and tells its sender."""

from __future__ import annotations

import asyncio
import hmac
import os
import socket
from collections.abc import Mapping
from dataclasses import replace

from edge_agent.probes.shared_key import read_key
from edge_agent.probes.stamped_udp import Datagram, ask_for_stamps, received
from edge_agent.probes.train_packet import (
    Message,
    Report,
    TrainError,
    challenge,
    cookie_of,
    encode_report,
    message_of,
    parse_ask,
    parse_car,
    parse_hello,
)
from edge_agent.reflector.admission import Admission
from edge_agent.reflector.listening import listen_udp
from edge_agent.reflector.settings import ReflectorSettings
from edge_agent.reflector.stamp_responder import reply_control
from edge_agent.reflector.tally import Tally, came_by
from edge_agent.reflector.trains import Trains

_SO_RCVBUFFORCE = 33
_RECEIVE_BUFFER = 8 << 20
"""Several trains at once: a packet dropped here would look like a loss of the link."""
_IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)
_IPV6_RECVPKTINFO = 49


class TrainResponder:
    """Takes trains from whoever is admitted and has shown that its address is its own."""

    def __init__(
        self,
        settings: ReflectorSettings,
        admission: Admission,
        trains: Trains | None = None,
        tally: Tally | None = None,
    ) -> None:
        self._settings = settings
        self._admission = admission
        self._trains = trains or Trains()
        self._tally = tally or Tally()
        self._secret = os.urandom(32)
        self._key: bytes | None = None
        self._socket: socket.socket | None = None
        self._greeted = self._packets = self._reported = self._malformed = self._failed = 0

    @property
    def counters(self) -> Mapping[str, int]:
        """What came and was answered since it was started."""
        return {
            "greeted": self._greeted,
            "packets": self._packets,
            "reported": self._reported,
            "malformed": self._malformed,
            "failed": self._failed,
            "trains": len(self._trains),
        }

    @property
    def port(self) -> int:
        """The UDP port, once started."""
        return int(self._socket.getsockname()[1]) if self._socket else self._settings.train_port

    async def start(self) -> None:
        """Listen; raises ProbeError when the port cannot be had, or the key not read."""
        self._key = read_key(self._settings.key_file) if self._settings.key_file else None
        self._socket = opened = listen_udp(self._settings.listen, self._settings.train_port, "trains")
        ask_for_stamps(opened, sent=False)
        if opened.family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
        else:
            opened.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        try:
            opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        except OSError:  # without CAP_NET_ADMIN, net.core.rmem_max is the limit
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        asyncio.get_running_loop().add_reader(opened.fileno(), self._drain, opened)

    def close(self) -> None:
        """Stop listening; it may be called twice."""
        if self._socket is None:
            return
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()
        self._socket = None

    def _drain(self, opened: socket.socket) -> None:
        for datagram in received(opened):
            try:
                answer = self._answer(datagram)
            except TrainError:
                self._malformed += 1
                continue
            if answer:
                self._send(opened, answer, datagram)

    def _answer(self, datagram: Datagram) -> bytes | None:
        """What to send back; raises TrainError for what is no message of ours, or not signed."""
        message = message_of(datagram.data)
        if message is Message.CAR:
            self._take(datagram)
            return None
        if message not in (Message.HELLO, Message.ASK) or not self._admission.allows(datagram.source[0]):
            return None
        return self._greet(datagram) if message is Message.HELLO else self._report(datagram)

    def _greet(self, datagram: Datagram) -> bytes | None:
        # Only then does it use up what its source may send: that address may be forged.
        nonce = parse_hello(datagram.data, self._key)
        if self._tally.is_closed(came_by(datagram.control)):
            return None
        if not self._admission.admits(datagram.source[0]):
            return None
        self._greeted += 1
        return challenge(nonce, self._cookie(datagram, nonce), self._key)

    def _take(self, datagram: Datagram) -> None:
        """Note a packet of a train; the first one of each is admitted, those that belong to it go with it."""
        car = parse_car(datagram.data)
        key = (*datagram.source[:2], car.nonce, car.train)
        at = datagram.at
        at_ns = at.wall_ns if at.kernel_ns is None else at.kernel_ns
        if self._trains.find(key) is None:
            self._check(datagram, car.nonce, car.cookie)
            # One that has begun is taken to its end: it would else have been sent for nothing.
            if self._tally.is_closed(came_by(datagram.control)):
                return
            if not self._admission.admits(datagram.source[0]):
                return
            self._trains.begin(key, car, at_ns)
        self._trains.add(key, car, at_ns, at.kernel_ns is not None)
        self._packets += 1
        self._tally.took(datagram)

    def _report(self, datagram: Datagram) -> bytes | None:
        ask = parse_ask(datagram.data, self._key)
        self._check(datagram, ask.nonce, ask.cookie)
        if not self._admission.admits(datagram.source[0]):
            return None
        train = self._trains.find((*datagram.source[:2], ask.nonce, ask.train))
        self._reported += 1
        nothing = Report(ask.nonce, ask.train, True, 0, ask.begin, 0, (), ask.number)
        if train is None:
            return encode_report(nothing, self._key)
        report = replace(
            nothing,
            is_stamped=train.is_stamped,
            received=len(train.arrivals),
            quiet_ns=self._trains.quiet_ns(train),
            arrivals=tuple(train.arrivals[ask.begin : ask.begin + ask.records]),
        )
        return encode_report(report, self._key)

    def _check(self, datagram: Datagram, nonce: bytes, cookie: bytes) -> None:
        if not hmac.compare_digest(cookie, self._cookie(datagram, nonce)):
            raise TrainError("a cookie that we did not give to that address")

    def _cookie(self, datagram: Datagram, nonce: bytes) -> bytes:
        address, port = datagram.source[:2]
        return cookie_of(self._secret, f"{address} {port}", nonce)

    def _send(self, opened: socket.socket, answer: bytes, datagram: Datagram) -> None:
        try:
            opened.sendmsg([answer], reply_control(datagram.control), 0, datagram.source)
        except OSError:
            self._failed += 1
        else:
            self._tally.took(datagram, len(answer))
