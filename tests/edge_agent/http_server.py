"""A server that does as it is told, and what the http probe says of it."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from edge_agent.contract import Outcome
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.http import HttpProbe
from edge_agent.probes.http_settings import HttpSettings
from edge_agent.probes.probe import ProbeError
from tests.edge_agent.columns import named

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
Values = dict[str, int | None]
BUSY = 10
"""Rounds that a busy machine may take to see what the server did."""


@contextmanager
def server(behave: Callable[[socket.socket], None], context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serves connections one after the other; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                opened, _ = listener.accept()
                with opened, suppress(OSError):
                    if opened.getsockname() == opened.getpeername() or stopping.is_set():
                        return
                    with context.wrap_socket(opened, server_side=True) if context else opened as stream:
                        behave(stream)

        stopping = threading.Event()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stopping.set()
            with suppress(OSError), socket.create_connection(listener.getsockname(), 5):
                pass
            thread.join()


def answering(answer: bytes) -> Callable[[socket.socket], None]:
    def behave(opened: socket.socket) -> None:
        opened.recv(4096)
        opened.sendall(answer)

    return behave


def until_closed(opened: socket.socket) -> None:
    while opened.recv(4096):
        pass


def get(
    port: int,
    target: str = "127.0.0.1",
    tls: bool = False,
    verify: bool = True,
    host: str = "",
    interface: str = "",
) -> Values:
    settings = HttpSettings(timeout_s=1, port=port, tls=tls, verify=verify, host=host)
    link = ProbedLink("here", target=target, interface=interface)
    for _ in range(BUSY):
        try:
            return named(asyncio.run(HttpProbe(settings)(link)))
        except ProbeError as exc:
            if exc.outcome is not Outcome.OVERRUN:
                raise
    raise AssertionError("this machine is too busy to see an answer")


def ended(values: Values) -> list[int | None]:
    return [values[name] for name in ("sent", "answered", "refused", "timed_out", "status")]


def finished(values: Values) -> list[str]:
    """The phases that have a time."""
    return [name for name, value in values.items() if name.endswith("_us") and value is not None]
