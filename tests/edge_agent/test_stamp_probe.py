"""A STAMP round over real sockets: what it measures, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import errno
import warnings
from pathlib import Path

import pytest

from edge_agent.contract import Outcome
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.probe import Measurement, ProbeError
from edge_agent.probes.stamp_exchange import Exchange
from edge_agent.probes.stamp_session import Session
from tests.edge_agent.columns import named
from tests.edge_agent.stamp_rig import KEY, LINK, STAMPED, probe, responder


@pytest.mark.parametrize(
    ("listen", "target"), [("127.0.0.1", "127.0.0.1"), ("::", "::1"), ("::", "127.0.0.1")]
)
def test_a_round_is_measured_in_both_families(listen: str, target: str) -> None:
    async def run() -> Measurement:
        async with responder(listen) as running, probe(running.port) as stamp:
            return await stamp(ProbedLink("here", target=target, interface="lo"))

    measured = asyncio.run(run())
    got = named(measured)
    assert (got["sent"], got["received"], got["lost_out"], got["lost_back"]) == (3, 3, 0, 0)
    assert (got["late"], got["duplicate"], got["corrupt"], got["foreign"], got["in_flight"]) == (0,) * 5
    assert got["reply_ttl"] == 64 and got["one_way_error_us"] == 4
    assert got["rtt_min_us"] is not None and got["out_min_us"] is not None
    assert measured.flags & STAMPED == STAMPED


@pytest.mark.parametrize("extra", [0, 1, 1_000])
def test_authenticated_rounds_with_padding(tmp_path: Path, extra: int) -> None:
    key_file = tmp_path / "key"
    key_file.write_bytes(KEY + b"\n")

    async def run() -> Measurement:
        async with (
            responder(key_file=key_file) as running,
            probe(running.port, key_file=key_file, padding=extra) as stamp,
        ):
            return await stamp(ProbedLink("here", target="127.0.0.1"))

    measured = asyncio.run(run())
    assert named(measured)["received"] == 3 and measured.flags & STAMPED == STAMPED


def test_a_sender_without_the_key_gets_no_answer(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(KEY)

    async def run() -> tuple[Measurement, int]:
        # Long enough that a busy machine has time for both closing packets.
        async with responder(key_file=tmp_path / "key") as running, probe(running.port, timeout_s=4) as stamp:
            measured = await stamp(ProbedLink("here", target="127.0.0.1"))
            return measured, running.counters["malformed"] + running.counters["not_authentic"]

    measured, ignored = asyncio.run(run())
    got = named(measured)
    assert (got["sent"], got["received"], got["lost_out"], got["rtt_min_us"]) == (3, 0, None, None)
    assert ignored == 3 + 2, "each packet and both closing ones"


def test_a_closed_port_is_not_measured_rather_than_lost() -> None:
    async def run() -> None:
        async with responder() as running:
            port = running.port
        async with probe(port) as stamp:
            await stamp(ProbedLink("here", target="127.0.0.1"))

    with pytest.raises(
        ProbeError, match=r"nothing on UDP port \d+: is 'edge-agent reflect' running"
    ) as caught:
        asyncio.run(run())
    assert caught.value.outcome is Outcome.UNREACHABLE


@pytest.mark.parametrize(
    ("link", "outcome"),
    [
        (ProbedLink("x", target="no.such.host.invalid"), Outcome.UNRESOLVED),
        (ProbedLink("x", target="127.0.0.1", interface="nothere0"), Outcome.NO_INTERFACE),
        (ProbedLink("x", target="127.0.0.1", source="192.0.2.1"), Outcome.UNREACHABLE),
    ],
)
def test_what_cannot_be_measured_says_why(link: ProbedLink, outcome: Outcome) -> None:
    async def run() -> None:
        async with probe(862) as stamp:
            await stamp(link)

    with pytest.raises(ProbeError) as caught:
        asyncio.run(run())
    assert caught.value.outcome is outcome


@pytest.mark.parametrize(
    ("content", "message"), [(None, "cannot read key_file"), (b"short", "holds 5 bytes")]
)
def test_a_key_that_is_of_no_use_is_one_clear_message(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    key_file = tmp_path / "key"
    if content:
        key_file.write_bytes(content)

    async def start() -> None:
        async with responder(key_file=key_file):
            pass

    async def ask() -> None:
        async with probe(862, key_file=key_file) as stamp:
            await stamp(ProbedLink("here", target="127.0.0.1"))

    for attempt in (start, ask):
        with pytest.raises(ProbeError, match=message):
            asyncio.run(attempt())


class Told:
    """A socket that is told of an earlier packet's fate when it sends the next."""

    def __init__(self, *errors: OSError) -> None:
        self.errors = list(errors)
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> None:
        if self.errors:
            raise self.errors.pop()
        self.sent.append(data)


def test_an_error_of_an_earlier_packet_does_not_keep_the_next_from_being_sent() -> None:
    told = Told(OSError(errno.EHOSTUNREACH, "prohibited"))
    exchange = Exchange(told, Session(7, None, None))  # type: ignore[arg-type]
    exchange.send()
    assert (len(told.sent), exchange.session.count) == (1, 1)


def test_an_error_of_this_machine_is_no_packet_sent() -> None:
    told = Told(*[OSError(errno.ENETUNREACH, "no route")] * 2)
    exchange = Exchange(told, Session(7, None, None))  # type: ignore[arg-type]
    with pytest.raises(ProbeError, match="cannot send a STAMP packet"):
        exchange.send()
    assert exchange.session.count == 0


def test_a_key_that_cannot_be_read_leaves_no_socket_to_the_collector(tmp_path: Path) -> None:
    async def run() -> None:
        async with probe(9, key_file=tmp_path / "none") as stamp:
            await stamp(LINK)

    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        with pytest.raises(ProbeError, match="cannot read key_file"):
            asyncio.run(run())
    assert not found
