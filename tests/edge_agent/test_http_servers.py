"""HTTP against servers that refuse, stay silent, talk rubbish or never stop."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from edge_agent.contract import Outcome
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.http import HttpProbe
from edge_agent.probes.http_settings import HttpSettings
from edge_agent.probes.probe import Measurement, ProbeError
from tests.edge_agent.http_server import OK, answering, ended, finished, get, server, until_closed


def test_a_server_that_never_answers_is_timed_out_and_was_connected() -> None:
    with server(until_closed) as port:
        values = get(port)
    assert ended(values) == [1, 0, 0, 1, None]
    assert finished(values) == ["connect_us"]


def test_a_timeout_that_a_busy_process_sees_late_is_no_silence() -> None:
    async def main(port: int) -> Measurement:
        probe = HttpProbe(HttpSettings(timeout_s=1, port=port, tls=False))
        task = asyncio.create_task(probe(ProbedLink("here", target="127.0.0.1")))
        await asyncio.sleep(0.3)
        time.sleep(1)
        return await task

    with server(until_closed) as port, pytest.raises(ProbeError, match="too busy") as caught:
        asyncio.run(main(port))
    assert caught.value.outcome is Outcome.OVERRUN


def test_a_closed_port_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    values = get(port)
    assert ended(values) == [1, 0, 1, 0, None]
    assert finished(values) == []


@pytest.mark.parametrize(
    "rubbish",
    [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 abc\r\n", b"x" * 100_000, b"\0" * 5000 + b"\n"],
)
def test_what_is_not_http_is_told(rubbish: bytes) -> None:
    with server(answering(rubbish)) as port, pytest.raises(ProbeError, match="no HTTP") as caught:
        get(port)
    assert caught.value.outcome is Outcome.FAILED


@pytest.mark.parametrize("beginning", [b"", b"H", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_what_is_closed_before_it_has_answered_is_no_answer_and_no_timeout(beginning: bytes) -> None:
    with server(answering(beginning)) as port:
        values = get(port)
    assert ended(values) == [1, 0, 0, 0, None]
    assert finished(values) == ["connect_us"]


def test_a_server_that_never_stops_costs_no_more_than_what_is_read() -> None:
    sent: list[int] = []

    def behave(opened: socket.socket) -> None:
        opened.recv(4096)
        with suppress(OSError):
            opened.sendall(OK)
            while True:
                sent.append(opened.send(b"x" * 65_536))

    with server(behave) as port:
        assert ended(get(port)) == [1, 1, 0, 0, 200]
    assert sum(sent) < 8_000_000  # loopback's own buffers; without the reset it would not end


def test_a_first_line_without_end_is_given_up_before_the_timeout() -> None:
    def behave(opened: socket.socket) -> None:
        while True:
            opened.sendall(b"HTTP/1.1 200 and so on " * 1000)

    with server(behave) as port, pytest.raises(ProbeError, match="without end"):
        get(port)


def test_what_comes_before_the_answer_is_not_taken_for_it() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
    with server(answering(b"HTTP/1.1 100 Continue\r\n\r\n" + hints + OK)) as port:
        assert ended(get(port)) == [1, 1, 0, 0, 200]


@pytest.mark.parametrize("behave", [answering(OK), answering(b"rubbish"), until_closed])
def test_the_sockets_are_closed_with_the_round(
    behave: Callable[[socket.socket], None], caplog: pytest.LogCaptureFixture
) -> None:
    """The server's end is a descriptor of this process too, which it closes in its own time."""

    async def rounds(port: int) -> tuple[set[str], set[str]]:
        probe = HttpProbe(HttpSettings(timeout_s=0.5, port=port, tls=False))
        before = open_sockets()
        with suppress(ProbeError):  # of a busy machine, whose sockets are closed as well
            await probe(ProbedLink("a", target="127.0.0.1"))
        for _ in range(200):
            if open_sockets() == before:
                break
            await asyncio.sleep(0.01)
        return before, open_sockets()

    with server(behave) as port:
        before, after = asyncio.run(rounds(port))
    assert after == before
    assert not caplog.records  # asyncio would say that it closed what we forgot


def open_sockets() -> set[str]:
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.add(str(path.readlink()))
    return {each for each in found if each.startswith("socket:")}
