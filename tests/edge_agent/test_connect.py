"""Connect: times of connections, refusals and silence, each counted apart."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from edge_agent.contract import KINDS, Outcome
from edge_agent.probes import ConnectSettings, Measurement, ProbeError
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.connect import Attempt, ConnectProbe, summary
from tests.edge_agent.netns import needs_netns, run_in_netns

MS = 1_000_000


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def connect(port: int, target: str = "127.0.0.1", interface: str = "", timeout_s: float = 5) -> Measurement:
    settings = ConnectSettings(timeout_s=timeout_s, port=port)
    return asyncio.run(ConnectProbe(settings)(ProbedLink("here", target=target, interface=interface)))


def test_a_round_is_summed_up_in_counts_and_microseconds() -> None:
    attempts = [Attempt(4 * MS), Attempt(1 * MS), Attempt(refused=True), Attempt(), Attempt(9 * MS)]
    assert summary(attempts).values == (5, 3, 1, 1, 1000, 4000, 9000, 4667)


def test_every_column_of_the_contract_has_a_value() -> None:
    assert len(summary([Attempt(MS)]).values) == len(KINDS["connect"].columns) == len(summary([]).values)


def test_an_even_number_of_connections_has_the_mean_of_the_middle_two_as_median() -> None:
    assert summary([Attempt(MS), Attempt(2 * MS)]).values[5] == 1500


def test_without_a_connection_times_are_null_not_zero() -> None:
    assert summary([Attempt(refused=True)]).values == (1, 0, 1, 0, None, None, None, None)


@pytest.mark.parametrize("interface", ["", "lo"])
def test_connections_to_a_listener_are_timed(listener: socket.socket, interface: str) -> None:
    values = connect(listener.getsockname()[1], interface=interface).values
    assert values[:4] == (3, 3, 0, 0)
    low, middle, high, mean = values[4:]
    assert low is not None and middle is not None and high is not None and mean is not None
    assert 0 < low <= middle <= high and low <= mean <= high


def test_a_closed_port_is_refused_and_has_no_connect_time(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    listener.close()
    assert connect(port).values == (3, 0, 3, 0, None, None, None, None)


def test_a_listener_that_does_not_answer_is_timed_out() -> None:
    """A full accept queue drops further SYNs (listen(2)), so the host stays silent."""
    with socket.socket() as server, socket.socket() as first, socket.socket() as second:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        values = connect(server.getsockname()[1], timeout_s=1).values
    assert values == (3, 0, 0, 3, None, None, None, None)


def test_what_there_is_no_time_for_is_not_tried_and_no_silence(listener: socket.socket) -> None:
    """A busy process comes to its attempts when their time is over."""

    async def main() -> Measurement:
        probe = ConnectProbe(ConnectSettings(count=2, timeout_s=0.5, port=listener.getsockname()[1]))
        task = asyncio.create_task(probe(ProbedLink("here", target="127.0.0.1")))
        await asyncio.sleep(busy_after_s)
        time.sleep(0.6)
        return await task

    busy_after_s = 0.05
    assert asyncio.run(main()).values[:4] == (1, 1, 0, 0)
    busy_after_s = 0
    with pytest.raises(ProbeError, match="no time to connect") as caught:
        asyncio.run(main())
    assert caught.value.outcome is Outcome.OVERRUN


def test_every_socket_is_closed_after_a_round(listener: socket.socket) -> None:
    with socket.socket() as before:
        lowest = before.fileno()
    connect(listener.getsockname()[1])
    with socket.socket() as after:
        assert after.fileno() == lowest


@pytest.mark.parametrize(
    ("target", "interface", "outcome"),
    [
        ("name.invalid", "", Outcome.UNRESOLVED),
        ("", "", Outcome.UNRESOLVED),
        ("127.0.0.1", "nope0", Outcome.NO_INTERFACE),
    ],
)
def test_what_cannot_be_tried_is_an_error_not_a_failure(
    target: str, interface: str, outcome: Outcome
) -> None:
    with pytest.raises(ProbeError) as caught:
        connect(9, target, interface)
    assert caught.value.outcome is outcome


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (partial(ConnectSettings, port=0), "port"),
        (partial(ConnectSettings, count=0), "count"),
        (partial(ConnectSettings, period_s=0), "period_s"),
    ],
)
def test_a_setting_out_of_range_is_named(wrong: Callable[[], ConnectSettings], named: str) -> None:
    with pytest.raises(ValueError, match=f"probe.connect: {named} is"):
        wrong()


def test_connections_that_do_not_fit_the_timeout_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit timeout_s"):
        ConnectSettings(count=30)


@needs_netns
def test_no_route_is_unreachable_not_silence() -> None:
    said = run_in_netns("""
        for target in ("192.0.2.1", "2001:db8::1"):
            error = asyncio.run(outcome(ConnectProbe(ConnectSettings()), ProbedLink("a", target=target)))
            print(error.outcome.name)
    """)
    assert said.split() == ["UNREACHABLE", "UNREACHABLE"]


@needs_netns
def test_over_a_link_refusal_and_a_silent_host_are_told_apart() -> None:
    """The silent host answers no ARP: the kernel's "no route to host" is the link's failure, not ours."""
    said = run_in_netns("""
        async def main():
            holder = veth()
            try:
                for target in ("10.9.0.2", "10.9.0.3"):
                    probe = ConnectProbe(ConnectSettings(timeout_s=4.5, port=9))
                    print(*(await probe(ProbedLink("a", target=target, interface="v0"))).values[:4])
            finally:
                holder.kill()
        asyncio.run(main())
    """)
    assert said.splitlines() == ["3 0 3 0", "3 0 0 3"]
