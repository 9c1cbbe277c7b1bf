"""What stands between a gateway and its broker: relays that swallow, trickle or cut, and a proxy."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

TRICKLE = 96
"""Bytes at a time of a slow relay, one piece each TRICKLE_S."""
TRICKLE_S = 0.01


class Relay:
    """Carries TCP connections from a port of its own to the broker's, with two threads for each."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.is_deaf = False
        """Whether what the broker says is swallowed."""
        self.is_slow = False
        self.began: list[bytes] = []
        """The first bytes of each connection."""
        self.carried = 0
        """Bytes of all connections, both directions."""
        self._ends: list[socket.socket] = []
        self._mutex = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Reset every connection."""
        with self._mutex:
            ends, self._ends = self._ends, []
        for each in ends:
            with suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def close(self) -> None:
        """End all."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with closing(near), suppress(OSError):
            first = self._greet(near)
            far = socket.create_connection(("127.0.0.1", self._target))
            with closing(far):
                with self._mutex:
                    self._ends += [near, far]
                back = threading.Thread(target=self._pump, args=(far, near, True), daemon=True)
                back.start()
                if first:
                    far.sendall(first)
                self._pump(near, far, False)
                back.join()

    def _greet(self, near: socket.socket) -> bytes:
        """What the client says first; a proxy answers here."""
        first = near.recv(65_536)
        self.began.append(first)
        return first

    def _pump(self, source: socket.socket, sink: socket.socket, is_back: bool) -> None:
        with suppress(OSError):
            while piece := source.recv(TRICKLE if self.is_slow else 65_536):
                self.carried += len(piece)
                if self.is_slow:
                    threading.Event().wait(TRICKLE_S)
                if not (is_back and self.is_deaf):
                    sink.sendall(piece)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


class ConnectProxy(Relay):
    """An HTTP proxy that knows CONNECT alone and takes every name for this machine."""

    def __init__(self, target: int, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
        super().__init__(target)
        self._answer = answer
        self.asked: list[str] = []
        """The request lines."""

    def _greet(self, near: socket.socket) -> bytes:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += near.recv(1)
        self.asked.append(head.split(b"\r\n", 1)[0].decode())
        near.sendall(self._answer)
        if b" 200 " not in self._answer:
            raise ConnectionError
        return super()._greet(near)


def alpn_of(hello: bytes) -> list[str]:
    """The protocols that a TLS ClientHello offers (RFC 8446, 4.1.2; RFC 7301)."""
    return [name.decode() for name in _names(_extensions(hello).get(16, b""))]


def _extensions(hello: bytes) -> dict[int, bytes]:
    at = 5 + 4 + 2 + 32  # the record's header, the message's, the version, the random bytes
    at += 1 + hello[at]
    at += 2 + int.from_bytes(hello[at : at + 2], "big")
    at += 1 + hello[at]
    end = at + 2 + int.from_bytes(hello[at : at + 2], "big")
    at += 2
    found = {}
    while at < end:
        kind, size = struct.unpack_from("!HH", hello, at)
        found[kind] = hello[at + 4 : at + 4 + size]
        at += 4 + size
    return found


def _names(extension: bytes) -> Iterator[bytes]:
    at = 2
    while at < len(extension):
        yield extension[at + 1 : at + 1 + extension[at]]
        at += 1 + extension[at]
