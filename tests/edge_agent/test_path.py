"""Paths: hops as rows, changes between rounds, and a child that only talks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

import pytest

from edge_agent.contract import Flag, Outcome, Reading
from edge_agent.discovery.messages import Hop, PathRequest, write
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.path import PathProbe, differs, halves, rows, source_port
from edge_agent.probes.path_settings import PathSettings
from edge_agent.probes.probe import Measurement, ProbeError
from edge_agent.probes.resolve import Endpoint, Resolver
from tests.edge_agent.netns import needs_netns

A, B, C = "10.0.1.1", "10.0.2.1", "10.0.3.1"


def path(*addresses: str, reached: bool = True) -> list[Hop]:
    last = len(addresses)
    return [
        Hop(hop, 3, 3 if address else 0, address, 100 * hop if address else None, reached and hop == last)
        for hop, address in enumerate(addresses, 1)
    ]


def column(measured: Sequence[Measurement], name: str) -> list[int | None]:
    return [Reading("a", "path", 0, each.values)[name] for each in measured]


# --- rows -----------------------------------------------------------------------------------------


def test_each_hop_is_a_row_and_a_silent_one_has_no_address() -> None:
    measured = rows(path(A, "", C), None)
    assert column(measured, "hop") == [1, 2, 3]
    assert column(measured, "hops") == [3, 3, 3]
    assert column(measured, "answered") == [3, 0, 3]
    assert column(measured, "rtt_min_us") == [100, None, 300]
    assert column(measured, "address_low") == [0xFFFF_0A00_0101, None, 0xFFFF_0A00_0301]
    assert column(measured, "changed") == [None, None, None]


def test_a_target_that_does_not_answer_has_no_distance() -> None:
    assert column(rows(path(A, "", reached=False), None), "hops") == [None, None]


def test_a_changed_path_is_flagged_in_every_row() -> None:
    measured = rows(path(A, C), path(A, B))
    assert column(measured, "changed") == [1, 1]
    assert all(Flag.PATH_CHANGED in each.flags for each in measured)
    same = rows(path(A, B), path(A, B))
    assert column(same, "changed") == [0, 0]
    assert not any(Flag.PATH_CHANGED in each.flags for each in same)


@pytest.mark.parametrize(
    ("before", "now", "changed"),
    [
        (path(A, B, C), path(A, "", C), False),
        (path(A, "", C), path("", B, C), False),
        (path(A, C), path(A, B, C), True),
        (path(A, B), path(A, B, "", reached=False), False),
        (path(A, "", reached=False), path(B, "", reached=False), True),
    ],
)
def test_only_what_was_seen_differently_is_a_change(before: list[Hop], now: list[Hop], changed: bool) -> None:
    """A router that limits its answers is silent in some rounds, and has not moved."""
    assert differs(before, now) is changed


def test_a_distance_with_two_routers_changes_only_when_both_are_gone() -> None:
    both = [*path(A), Hop(2, 3, 1, B, 1, False), Hop(2, 3, 2, C, 1, False)]
    assert not differs(both, path(A, B, reached=False))
    assert differs(both, path(A, A, reached=False))


def test_addresses_are_two_columns_and_half_an_address_of_ones_is_not_told() -> None:
    assert halves("fd00::2") == {"address_high": 0xFD00 << 48, "address_low": 2}
    assert halves("") == halves("fd00::ffff:ffff:ffff:ffff") == {}


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (partial(PathSettings, hops=65), "hops is"),
        (partial(PathSettings, attempts=0), "attempts is"),
        (partial(PathSettings, spacing_ms=900), "do not fit timeout_s"),
    ],
)
def test_a_setting_out_of_range_is_named(wrong: Callable[[], PathSettings], named: str) -> None:
    with pytest.raises(ValueError, match=f"probe.path: .*{named}"):
        wrong()


# --- the probe with a child that only talks -------------------------------------------------------


@needs_netns
def test_one_child_at_a_time() -> None:
    running: list[str] = []

    async def child(what: str, request: PathRequest, sockets: Sequence[int]) -> bytes:
        running.append(what)
        assert len(running) == 1
        await asyncio.sleep(0)
        running.pop()
        return write(path(A)[0]).encode()

    async def rounds() -> None:
        probe = PathProbe(PathSettings(), child=child)
        await asyncio.gather(*(probe(ProbedLink(f"{each}", target="127.0.0.1")) for each in range(4)))

    asyncio.run(rounds())


def test_the_flow_of_a_link_is_the_same_in_every_round_and_another_for_another_link() -> None:
    """Else each turn of a load balancer would look like a change of the path."""
    ports = {source_port(f"gw-{each}") for each in range(100)}
    assert source_port("gw-1") == source_port("gw-1")
    assert len(ports) > 90
    assert all(61_000 <= port <= 65_535 for port in ports)


def test_a_link_local_target_is_on_the_vlan_of_its_link() -> None:
    asked: list[str] = []

    class Nowhere(Resolver):
        async def resolve(self, target: str, interface: str, timeout_s: float) -> Endpoint:
            asked.append(interface)
            raise ProbeError(Outcome.UNRESOLVED, "nowhere")

    link = ProbedLink("a", target="fe80::1", interface="eth0", vlan="100")
    with pytest.raises(ProbeError):
        asyncio.run(PathProbe(PathSettings(), Nowhere())(link))
    assert asked == ["eth0.100"]


def talking(*said: list[Hop]) -> PathProbe:
    lines = iter(["\n".join(map(write, hops)).encode() for hops in said])

    async def child(what: str, request: PathRequest, sockets: Sequence[int]) -> bytes:
        assert (what, request.target) == ("path", "127.0.0.1")
        assert list(sockets) == [request.sending, request.receiving]
        return next(lines)

    return PathProbe(PathSettings(), child=child)


@needs_netns
def test_rounds_are_compared_by_link() -> None:
    probe = talking(path(A), path(B), path(A))

    async def rounds() -> list[list[int | None]]:
        links = [ProbedLink(name, target="127.0.0.1") for name in ("one", "other", "one")]
        return [column(await probe(link), "changed") for link in links]

    assert asyncio.run(rounds()) == [[None], [None], [0]]


@needs_netns
def test_a_child_that_finds_nothing_is_a_failure_to_measure() -> None:
    with pytest.raises(ProbeError, match="found nothing"):
        asyncio.run(talking([])(ProbedLink("a", target="127.0.0.1")))


@pytest.mark.parametrize(
    ("link", "outcome"),
    [
        (ProbedLink("a", target="name.invalid"), Outcome.UNRESOLVED),
        (ProbedLink("a", target="127.0.0.1", interface="nope0"), Outcome.NO_INTERFACE),
    ],
)
def test_what_cannot_be_tried_is_an_error(link: ProbedLink, outcome: Outcome) -> None:
    with pytest.raises(ProbeError) as caught:
        asyncio.run(talking()(link))
    assert caught.value.outcome is outcome
