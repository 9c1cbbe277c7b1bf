"""HTTP: the phases up to the first byte, and what is asked for and read."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.contract import KINDS, Outcome
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.http import HttpProbe
from edge_agent.probes.http_exchange import Exchange, request, status
from edge_agent.probes.http_settings import HttpSettings
from edge_agent.probes.probe import ProbeError
from edge_agent.probes.resolve import Endpoint
from tests.edge_agent.http_server import OK, answering, ended, finished, get, server
from tests.edge_agent.netns import needs_netns, run_in_netns


@pytest.mark.parametrize(
    ("answer", "code"),
    [(OK, 200), (b"HTTP/1.0 404 \r\n", 404), (b"HTTP/1.1 301\r\nLocation: /elsewhere\r\n\r\n", 301)],
)
def test_any_status_is_an_answer_and_a_redirect_is_not_followed(answer: bytes, code: int) -> None:
    with server(answering(answer)) as port:
        values = get(port)
    assert ended(values) == [1, 1, 0, 0, code]
    assert finished(values) == ["connect_us", "wait_us", "first_byte_us"]
    assert values["first_byte_us"] == pytest.approx(
        (values["connect_us"] or 0) + (values["wait_us"] or 0), abs=1
    )


def test_a_server_of_others_understands_the_request() -> None:
    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        try:
            assert ended(get(httpd.server_address[1])) == [1, 1, 0, 0, 200]
        finally:
            httpd.shutdown()
            thread.join()


def test_the_request_is_the_one_that_was_asked_for() -> None:
    asked: list[bytes] = []

    def behave(opened: socket.socket) -> None:
        asked.append(opened.recv(4096))
        opened.sendall(OK)

    with server(behave) as port:
        get(port, host="name.example")
    assert asked[0].startswith(b"GET / HTTP/1.1\r\n") and asked[0].endswith(b"\r\n\r\n")
    assert f"\r\nHost: name.example:{port}\r\n".encode() in asked[0]
    assert b"\r\nConnection: close\r\n" in asked[0]


@pytest.mark.parametrize(
    ("host", "port", "tls", "line"),
    [
        ("a.b", 80, False, b"a.b"),
        ("a.b", 443, True, b"a.b"),
        ("a.b", 443, False, b"a.b:443"),
        ("::1", 80, False, b"[::1]"),
    ],
)
def test_the_host_header_names_a_port_that_is_not_the_usual(
    host: str, port: int, tls: bool, line: bytes
) -> None:
    assert b"\r\nHost: " + line + b"\r\n" in request(host, port, "/", tls)


def test_a_name_is_looked_up_every_round_and_its_time_is_a_phase() -> None:
    looked_up: list[str] = []

    async def lookup(name: str) -> Endpoint:
        looked_up.append(name)
        return Endpoint(socket.AF_INET, "127.0.0.1")

    async def two_rounds(port: int) -> list[int | None]:
        probe = HttpProbe(HttpSettings(timeout_s=1, port=port, tls=False), lookup)
        link = ProbedLink("a", target="name.example")
        return [(await probe(link)).values[5] for _ in range(2)]

    with server(answering(OK)) as port:
        assert None not in asyncio.run(two_rounds(port))
    assert looked_up == ["name.example"] * 2


@pytest.mark.parametrize(
    ("target", "interface", "outcome"),
    [("name.invalid", "", Outcome.UNRESOLVED), ("127.0.0.1", "nope0", Outcome.NO_INTERFACE)],
)
def test_what_cannot_be_tried_is_an_error(target: str, interface: str, outcome: Outcome) -> None:
    with pytest.raises(ProbeError) as caught:
        get(9, target, interface=interface)
    assert caught.value.outcome is outcome


@needs_netns
def test_no_route_is_unreachable_and_a_host_that_is_not_there_is_silent() -> None:
    said = run_in_netns("""
        from edge_agent.probes.http import HttpProbe, HttpSettings
        async def main():
            probe = HttpProbe(HttpSettings(timeout_s=4.5, tls=False, port=80))
            error = await outcome(probe, ProbedLink("a", target="192.0.2.1"))
            print(error.outcome.name)
            holder = veth()
            try:
                print(*(await probe(ProbedLink("a", target="10.9.0.3", interface="v0"))).values[:4])
            finally:
                holder.kill()
        asyncio.run(main())
    """)
    assert said.splitlines() == ["UNREACHABLE", "1 0 0 1"]


@given(st.binary(max_size=100))
def test_a_status_line_is_a_code_or_nothing(line: bytes) -> None:
    code = status(line)
    assert code is None or (100 <= code <= 599 and line.startswith(b"HTTP/1."))


def test_an_exchange_that_began_is_a_reading_with_every_column() -> None:
    assert len(Exchange().measurement().values) == len(KINDS["http"].columns)
    phases = Exchange(1_000_000, 2_000_000, 3_000_000, 4_000_000, 200)
    assert phases.measurement().values == (1, 1, 0, 0, 200, 1000, 2000, 3000, 4000, 10_000)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (partial(HttpSettings, port=0), "port is"),
        (partial(HttpSettings, path="no"), "path is"),
        (partial(HttpSettings, path="/a b"), "path is"),
        (partial(HttpSettings, path="/\r\nX: y"), "path is"),
        (partial(HttpSettings, host="a\r\nX: y"), "host is"),
        (partial(HttpSettings, host=".example"), "host is"),
        (partial(HttpSettings, host="a..example"), "host is"),
        (partial(HttpSettings, host=f"{'a' * 64}.example"), "host is"),
        (partial(HttpSettings, period_s=0), "period_s is"),
    ],
)
def test_a_setting_that_is_wrong_is_named(wrong: Callable[[], HttpSettings], said: str) -> None:
    with pytest.raises(ValueError, match=f"probe.http: {said}"):
        wrong()
