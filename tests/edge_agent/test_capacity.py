"""The capacity probe and its responder, over loopback and over a shaped link."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.contract import Flag, Outcome
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.capacity import CapacityProbe
from edge_agent.probes.capacity_settings import CapacitySettings
from edge_agent.probes.probe import Measurement, ProbeError
from edge_agent.reflector.admission import Admission
from edge_agent.reflector.settings import ReflectorSettings
from edge_agent.reflector.train_responder import TrainResponder
from tests.edge_agent.columns import named
from tests.edge_agent.netns import needs_netns, run_in_netns

KEY = b"0123456789abcdef"
STAMPED = Flag.KERNEL_SENT | Flag.KERNEL_RECEIVED


def measure(
    target: str = "127.0.0.1", responder: dict[str, Any] | None = None, **settings: Any
) -> Measurement:
    """One round with a responder of its own."""

    async def run() -> Measurement:
        wanted = ReflectorSettings(**{"train_port": 0, **(responder or {})})
        running = TrainResponder(wanted, Admission(wanted))
        await running.start()
        probe = CapacityProbe(CapacitySettings(port=running.port, **settings))
        try:
            return await probe(ProbedLink("a", target=target, interface="lo"))
        finally:
            probe.close()
            running.close()

    return asyncio.run(run())


@pytest.mark.parametrize("target", ["127.0.0.1", "::1"])
def test_a_round_in_both_families_keeps_to_its_budget(target: str) -> None:
    measured = measure(target)
    got = named(measured)
    assert got["sent"] == got["received"] == 206
    assert got["spent_bytes"] is not None and 206 * 1_400 < got["spent_bytes"] <= 300_000
    assert measured.flags == STAMPED
    assert got["sender_kbps"]
    assert (got["lower_bound"], got["high_kbps"]) == (1, None), "loopback is never slower than its sender"


@pytest.mark.parametrize("budget_bytes", [60_000, 120_000, 1_000_000])
def test_the_budget_holds_whatever_it_is(budget_bytes: int) -> None:
    got = named(measure(budget_bytes=budget_bytes, packets=600))
    assert got["sent"] is not None and got["spent_bytes"] is not None
    assert 0.6 * budget_bytes < got["spent_bytes"] <= budget_bytes or got["sent"] == 606


def test_both_ends_with_the_same_key(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_bytes(KEY)
    got = named(measure(responder={"key_file": key_file}, key_file=key_file))
    assert got["received"] == 206


@pytest.mark.parametrize("ours", [None, b"another key, 0123456789"])
def test_another_key_or_none_gets_no_answer_and_says_what_to_do(tmp_path: Path, ours: bytes | None) -> None:
    theirs, mine = tmp_path / "theirs", tmp_path / "mine"
    theirs.write_bytes(KEY)
    mine.write_bytes(ours or b"")
    with pytest.raises(ProbeError, match="does 'edge-agent reflect' run there") as caught:
        measure(responder={"key_file": theirs}, key_file=mine if ours else None, timeout_s=0.5)
    assert caught.value.outcome is Outcome.UNREACHABLE
    assert ("same key" in caught.value.message) is bool(ours)


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind(("127.0.0.1", 0))
        yield opened


def probe_of(port: int) -> Measurement:
    probe = CapacityProbe(CapacitySettings(port=port, timeout_s=0.5))
    return asyncio.run(probe(ProbedLink("a", target="127.0.0.1")))


def test_nobody_there_is_an_error_not_a_figure(silent: socket.socket) -> None:
    with pytest.raises(ProbeError, match="does not answer on UDP port"):
        probe_of(silent.getsockname()[1])
    closed = silent.getsockname()[1]
    silent.close()
    with pytest.raises(ProbeError, match=r"nothing listens on UDP port .* reflect") as caught:
        probe_of(closed)
    assert caught.value.outcome is Outcome.UNREACHABLE


def test_every_socket_is_closed_after_a_round() -> None:
    with socket.socket() as before:
        lowest = before.fileno()
    measure()
    with socket.socket() as after:
        assert after.fileno() == lowest


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"port": 0}, "port"),
        ({"packets": 5}, "packets"),
        ({"packet_bytes": 100}, "packet_bytes"),
        ({"budget_bytes": 10_000}, "budget_bytes"),
        ({"busy_ms": 0}, "busy_ms"),
        ({"period_s": 0}, "period_s"),
    ],
)
def test_a_setting_out_of_range_is_named(wrong: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=f"probe.capacity: {name} is"):
        CapacitySettings(**wrong)


SHAPED = """
from edge_agent.contract import KINDS
from edge_agent.probes.capacity import CapacityProbe, CapacitySettings
from edge_agent.reflector.admission import Admission
from edge_agent.reflector.settings import ReflectorSettings
from edge_agent.reflector.train_responder import TrainResponder

async def main(link, **settings):
    wanted = ReflectorSettings(train_port=0)
    running = TrainResponder(wanted, Admission(wanted))
    await running.start()
    got = await outcome(CapacityProbe(CapacitySettings(port=running.port, **settings)), link)
    running.close()
    if isinstance(got, ProbeError):
        print(got.outcome.name, got.message)
        return
    names = [column.name for column in KINDS["capacity"].columns]
    got = dict(zip(names, got.values))
    print(got["sent"], got["received"], got["spent_bytes"])
"""


@needs_netns
def test_packets_are_no_longer_than_the_way_takes_whole() -> None:
    said = run_in_netns(
        SHAPED
        + """
ip("link", "set", "lo", "mtu", "1000")
# Of no more than one train: that of a busy machine is not believed, and another would follow.
asyncio.run(main(ProbedLink("a", target="127.0.0.1"), budget_bytes=230_000))
"""
    )
    sent, received, spent = map(int, said.split())
    assert sent == received == 206
    assert 206 * 1_000 < spent < 206 * 1_000 + 10_000


@needs_netns
def test_it_works_without_privilege_and_says_what_is_wrong_with_the_way() -> None:
    said = run_in_netns(
        SHAPED
        + """
become_nobody()
asyncio.run(main(ProbedLink("a", target="127.0.0.1")))
asyncio.run(main(ProbedLink("a", target="192.0.2.1")))
asyncio.run(main(ProbedLink("a", target="127.0.0.1", interface="nope0")))
"""
    )
    first, second, third = said.splitlines()
    assert first.startswith("206 206")
    assert second.startswith("UNREACHABLE") and third.startswith("NO_INTERFACE")
