"""DNS lookups: answered, garbled and unanswered ones, each counted once, by servers that do as told."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from edge_agent.contract import Flag, Outcome
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.dns import DnsProbe, Round, send
from edge_agent.probes.dns_lookup import Lookup, summary
from edge_agent.probes.dns_message import Query, question
from edge_agent.probes.dns_settings import DnsSettings
from edge_agent.probes.probe import Measurement, ProbeError
from edge_agent.probes.stamps import Stamp
from tests.edge_agent.columns import named

MS = 1_000_000
QUESTION = question(".", "NS")
Behaviour = Callable[[int, bytes], list[bytes]]
"""What a server sends back for its n-th query."""


def reply(message: bytes, code: int = 0) -> bytes:
    return message[:2] + struct.pack("!H", 0x8180 | code) + message[4:]


@contextmanager
def server(behave: Behaviour, family: socket.AddressFamily = socket.AF_INET) -> Iterator[int]:
    """A name server on loopback; yields its port."""
    with socket.socket(family, socket.SOCK_DGRAM) as opened:
        opened.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))

        def serve() -> None:
            turn = 0
            while True:
                message, source = opened.recvfrom(512)
                if not message:
                    return
                for each in behave(turn, message):
                    opened.sendto(each, source)
                turn += 1

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield opened.getsockname()[1]
        finally:
            with socket.socket(family, socket.SOCK_DGRAM) as stop:
                stop.sendto(b"", opened.getsockname())
            thread.join()


def ask(port: int, target: str = "127.0.0.1", timeout_s: float = 1, interface: str = "") -> Measurement:
    settings = DnsSettings(timeout_s=timeout_s, port=port)
    link = ProbedLink("here", target=target, interface=interface)
    return asyncio.run(DnsProbe(settings, random.Random(1))(link))


@pytest.mark.parametrize(("family", "target"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_answers_are_timed_by_the_kernel(family: socket.AddressFamily, target: str) -> None:
    with server(lambda _, message: [reply(message)], family) as port:
        measurement = ask(port, target)
    values = named(measurement)
    assert [values[name] for name in ("sent", "answered", "timed_out", "corrupt", "rcode")] == [3, 3, 0, 0, 0]
    assert measurement.flags == Flag.KERNEL_RECEIVED
    low, middle, high = (values[f"lookup_{name}_us"] or 0 for name in ("min", "p50", "max"))
    assert 0 < low <= middle <= high < 1_000_000


def test_an_answer_that_says_no_is_an_answer() -> None:
    with server(lambda turn, message: [reply(message, 3 if turn == 1 else 0)]) as port:
        values = named(ask(port))
    assert (values["answered"], values["rcode"]) == (3, 3)


def test_silence_garbage_and_answers_are_each_counted_once() -> None:
    def behave(turn: int, message: bytes) -> list[bytes]:
        return [[], [reply(message)[:-2]], [reply(message)[:-2], reply(message), reply(message)]][turn]

    with server(behave) as port:
        values = named(ask(port))
    assert [values[name] for name in ("sent", "answered", "timed_out", "corrupt")] == [3, 1, 1, 1]


def test_an_answer_with_another_identifier_is_nobodys() -> None:
    def forge(_: int, message: bytes) -> list[bytes]:
        return [bytes((message[0] ^ 1,)) + reply(message)[1:]]

    with server(forge) as port:
        values = named(ask(port))
    assert (values["answered"], values["timed_out"], values["rcode"]) == (0, 3, None)
    assert values["lookup_p50_us"] is None


def test_a_closed_port_is_no_answer() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    assert ask(port).values[:4] == (3, 0, 3, 0)


def test_what_there_is_no_time_for_is_not_asked_and_no_silence() -> None:
    """A busy process comes to its queries when their time is over."""

    async def main(port: int) -> Measurement:
        probe = DnsProbe(DnsSettings(count=2, timeout_s=0.5, port=port))
        task = asyncio.create_task(probe(ProbedLink("here", target="127.0.0.1")))
        await asyncio.sleep(busy_after_s)
        time.sleep(0.6)
        return await task

    with server(lambda _, message: [reply(message)]) as port:
        busy_after_s = 0.1
        assert asyncio.run(main(port)).values[:4] == (1, 1, 0, 0)
        busy_after_s = 0
        with pytest.raises(ProbeError, match="no time to ask") as caught:
            asyncio.run(main(port))
    assert caught.value.outcome is Outcome.OVERRUN


def test_the_sockets_are_closed_after_a_round() -> None:
    with server(lambda _, message: [reply(message)]) as port:
        with socket.socket() as before:
            lowest = before.fileno()
        ask(port)
        with socket.socket() as after:
            assert after.fileno() == lowest


@pytest.mark.parametrize(
    ("target", "interface", "outcome"),
    [
        ("name.invalid", "", Outcome.UNRESOLVED),
        ("127.0.0.1", "nope0", Outcome.NO_INTERFACE),
        ("255.255.255.255", "", Outcome.DENIED),
    ],
)
def test_what_cannot_be_asked_is_an_error(target: str, interface: str, outcome: Outcome) -> None:
    with pytest.raises(ProbeError) as caught:
        ask(53, target, interface=interface)
    assert caught.value.outcome is outcome


def lookup(at: Stamp, message: bytes | None = None) -> Lookup:
    """A query sent at 10 ms by both clocks (the wall's a second ahead), and what came of it."""
    query = Query(1, QUESTION)
    made = Lookup(query, Stamp(10 * MS, 1010 * MS))
    made.received(reply(query.message) if message is None else message, at)
    return made


def test_the_kernels_stamp_is_taken_where_it_can_be_true() -> None:
    assert lookup(Stamp(30 * MS, 1030 * MS, 1025 * MS)).took_ns == 15 * MS
    for impossible in (None, 1009 * MS, 1031 * MS):
        late = lookup(Stamp(30 * MS, 1030 * MS, impossible))
        assert (late.took_ns, late.flags) == (20 * MS, Flag.NONE)


def test_only_the_first_answer_counts() -> None:
    made = lookup(Stamp(30 * MS, 1030 * MS))
    made.received(reply(made.query.message, 2), Stamp(90 * MS, 1090 * MS))
    assert (made.took_ns, made.code) == (20 * MS, 0)


def test_a_query_is_sent_although_the_one_before_was_refused() -> None:
    """The refusal waits on the socket and would be told instead of sending."""

    async def send_three() -> list[OSError | None]:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed,
            socket.socket(type=socket.SOCK_DGRAM) as ours,
        ):
            closed.bind(("127.0.0.1", 0))
            ours.connect(closed.getsockname())
            closed.close()
            current = Round(ours)
            errors = [send(current, Query(turn, QUESTION)) for turn in range(3)]
            assert len(current.lookups) == 3
            return errors

    assert asyncio.run(send_three()) == [None] * 3


@pytest.mark.parametrize("step_ms", [-3_600_000, -20, 20, 3_600_000])
def test_a_clock_that_steps_during_a_lookup_does_not_change_its_time(step_ms: int) -> None:
    wall = (1030 + step_ms) * MS
    stepped = lookup(Stamp(30 * MS, wall, wall - MS))
    assert stepped.took_ns == 20 * MS
    assert summary([stepped]).flags == Flag.CLOCK_STEPPED


def test_a_round_is_only_kernel_stamped_when_all_of_it_is() -> None:
    stamped, unstamped = lookup(Stamp(30 * MS, 1030 * MS, 1030 * MS)), lookup(Stamp(30 * MS, 1030 * MS))
    assert summary([stamped]).flags == Flag.KERNEL_RECEIVED
    assert summary([stamped, unstamped]).flags == Flag.NONE
    assert summary([]).flags == Flag.NONE


def test_times_are_summed_up_in_microseconds() -> None:
    lookups = [lookup(Stamp((10 + took) * MS, (1010 + took) * MS)) for took in (4, 1, 9)]
    assert summary(lookups).values == (3, 3, 0, 0, 0, 1000, 4000, 9000, 4667)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (partial(DnsSettings, port=0), "port is"),
        (partial(DnsSettings, count=0), "count is"),
        (partial(DnsSettings, count=40), "do not fit timeout_s"),
        (partial(DnsSettings, record="MX"), "record is not good: 'MX' is not one of"),
        (partial(DnsSettings, name="a..b"), "name is not good: each part"),
    ],
)
def test_a_setting_that_is_wrong_is_named(wrong: Callable[[], DnsSettings], said: str) -> None:
    with pytest.raises(ValueError, match=f"probe.dns: .*{said}"):
        wrong()
