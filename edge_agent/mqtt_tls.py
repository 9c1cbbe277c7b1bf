"""TLS to the broker for paho: through an HTTP proxy where there is one, with every connection counted."""

from __future__ import annotations

import socket
import ssl
import time
from typing import Any
from urllib.parse import urlsplit

from edge_agent.mqtt_traffic import TrafficMeter, farewell

AWS_ALPN = "x-amzn-mqtt-ca"
"""Asks AWS IoT Core for MQTT on port 443 (docs.aws.amazon.com/iot/latest/developerguide/protocols.html)."""
MAX_ANSWER = 4_096
"""Bytes of a proxy's answer."""
CONNECT_S = 20.0


class BrokerContext(ssl.SSLContext):
    """A TLS context that makes counted sockets, and asks a proxy for the broker before it speaks TLS."""

    meter: TrafficMeter
    through: tuple[str, int] | None = None
    """The broker's host and port when the connection is to a proxy."""
    current: CountedSocket | None = None
    """The socket of the latest connection."""

    def wrap_socket(self, sock: socket.socket, *args: Any, **options: Any) -> ssl.SSLSocket:
        """As the standard one; raises OSError when the proxy does not connect, then the socket is closed."""
        if self.through is not None:
            try:
                ask_proxy(sock, *self.through)
            except BaseException:
                self.meter.look(sock)
                self.meter.ended(farewell(sock))
                sock.close()
                raise
            options["server_hostname"] = self.through[0]
        wrapped = super().wrap_socket(sock, *args, **options)
        assert isinstance(wrapped, CountedSocket)
        self.current = wrapped
        return wrapped


class CountedSocket(ssl.SSLSocket):
    """Leaves its counters with the context's meter before it closes."""

    def do_handshake(self, block: bool = False) -> None:
        """As the standard one; a failure closes the socket, which paho leaves to the garbage collector."""
        try:
            super().do_handshake(block)
        except (OSError, ValueError):
            self.close()
            raise

    def close(self) -> None:
        """As the standard one."""
        context = self.context
        if self.fileno() >= 0 and isinstance(context, BrokerContext):
            context.meter.look(self)
            context.meter.ended(farewell(self))
        super().close()

    def abort(self) -> None:
        """End the connection from another thread, whatever it is waiting for; the owner still closes it."""
        try:
            socket.socket.shutdown(self, socket.SHUT_RDWR)
        except OSError:
            return


BrokerContext.sslsocket_class = CountedSocket


def proxy_address(url: str) -> tuple[str, int]:
    """Host and port of http://host:port; port 3128, which Squid made usual, when there is none."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 3128


def ask_proxy(connected: socket.socket, host: str, port: int) -> None:
    """Have an HTTP proxy connect to the broker (RFC 9110, 9.3.6); raises OSError with what it answered."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    end_s = time.monotonic() + (connected.gettimeout() or CONNECT_S)
    connected.sendall(f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n\r\n".encode("ascii", "replace"))
    answer = bytearray()
    # Byte by byte: what follows the answer is the broker's. It is some hundred bytes, once.
    while not answer.endswith(b"\r\n\r\n"):
        byte = connected.recv(1)
        if not byte:
            raise ConnectionError("the proxy hung up")
        answer += byte
        if len(answer) > MAX_ANSWER or time.monotonic() > end_s:
            raise ConnectionError("the proxy's answer has no end")
    status = answer.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
    if not status[0].startswith("HTTP/1.") or len(status) < 2 or not status[1].startswith("2"):
        raise ConnectionError(f"the proxy refuses: {' '.join(status)[:80]}")
