"""On path: a probe that would leave its link's path says so, and a change of path is marked."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Sequence

import pytest

from edge_agent.contract import Flag, Outcome
from edge_agent.probes import Measurement, ProbeError
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.on_path import OnPath
from edge_agent.probes.route import Question, Route, RoutesUnknown

MEASURED = Measurement("connect", (3, 3, 0, 0, 1, 1, 1, 1))
WAY = Route(1, "10.1.0.1", "10.1.0.9")
OTHER = Route(2, "10.2.0.1", "10.2.0.9")
LINK = ProbedLink("a", target="192.0.2.1")


class Known:
    """Routes that are asked for in this order; the last one stays."""

    def __init__(self, *routes: Route | Exception) -> None:
        self.routes = list(routes)
        self.asked: list[Question] = []

    def ask(self, question: Question) -> Route:
        self.asked.append(question)
        route = self.routes.pop(0) if len(self.routes) > 1 else self.routes[0]
        if isinstance(route, Exception):
            raise route
        return route

    def close(self) -> None:
        pass


class Fixed:
    """A probe that always measures the same."""

    kind = "connect"

    def __init__(self, measured: Measurement | Sequence[Measurement] = MEASURED) -> None:
        self.measured = measured
        self.rounds = 0

    async def __call__(self, link: ProbedLink) -> Measurement | Sequence[Measurement]:
        self.rounds += 1
        return self.measured

    def close(self) -> None:
        pass


def rounds(routes: Known, number: int, link: ProbedLink = LINK, probe: Fixed | None = None) -> list[object]:
    """What each round gives: its measurement, or the error."""
    on_path = OnPath(probe or Fixed(), 5, routes=routes)
    given: list[object] = []
    for _ in range(number):
        try:
            given.append(asyncio.run(_one(on_path, link)))
        except ProbeError as error:
            given.append(error)
    return given


async def _one(probe: OnPath, link: ProbedLink) -> object:
    measured = await probe(link)
    return measured if isinstance(measured, Measurement) else tuple(measured)


def flagged(measured: object) -> bool:
    (one,) = measured if isinstance(measured, tuple) else (measured,)
    assert isinstance(one, Measurement) and one.values == MEASURED.values
    return Flag.PATH_CHANGED in one.flags


def test_while_the_route_stays_measurements_are_as_the_probe_gave_them() -> None:
    assert rounds(Known(WAY), 3) == [MEASURED] * 3


def test_a_change_between_rounds_flags_the_next_round_alone() -> None:
    assert [flagged(each) for each in rounds(Known(WAY, WAY, OTHER), 3)] == [False, True, False]


def test_a_change_within_a_round_flags_that_round_alone() -> None:
    assert [flagged(each) for each in rounds(Known(WAY, WAY, WAY, OTHER), 3)] == [False, True, False]


def test_every_measurement_of_a_round_is_flagged() -> None:
    probe = Fixed([MEASURED, MEASURED])
    (measured,) = rounds(Known(WAY, OTHER), 1, probe=probe)
    assert isinstance(measured, tuple)
    assert [each.flags for each in measured] == [Flag.PATH_CHANGED] * 2


def test_links_have_paths_of_their_own() -> None:
    on_path = OnPath(Fixed(), 5, routes=Known(WAY, WAY, OTHER, OTHER, WAY))
    for name in ("a", "b", "a"):
        assert asyncio.run(_one(on_path, ProbedLink(name, target="192.0.2.1"))) == MEASURED


def test_the_question_is_what_the_probes_packets_are_routed_by() -> None:
    routes = Known(Route(1))
    lo = ProbedLink("a", target="192.0.2.1", interface="lo", source="192.0.2.7", mark=7)
    rounds(routes, 1, lo)
    assert routes.asked[0] == Question("192.0.2.1", socket.if_nametoindex("lo"), "192.0.2.7", 7)


def test_a_link_without_a_target_is_not_asked_about() -> None:
    routes = Known(WAY)
    assert rounds(routes, 1, ProbedLink("a")) == [MEASURED]
    assert routes.asked == []


@pytest.mark.parametrize(
    ("next_hop", "route", "target"),
    [
        ("10.1.0.1", WAY, "192.0.2.1"),
        ("fe80::1%eth0", Route(1, "fe80::1"), "2001:db8::1"),
        ("2001:db8:0::1", Route(1, "2001:db8::1"), "2001:db8:1::1"),
        ("192.0.2.1", Route(1), "192.0.2.1"),
    ],
)
def test_a_round_by_the_links_next_hop_or_straight_to_it_is_measured(
    next_hop: str, route: Route, target: str
) -> None:
    assert rounds(Known(route), 1, ProbedLink("a", target=target, next_hop=next_hop)) == [MEASURED]


@pytest.mark.parametrize(
    ("link", "route", "said"),
    [
        (
            ProbedLink("a", target="192.0.2.1", next_hop="10.2.0.1", mark=7, source="10.9.0.1"),
            WAY,
            "192.0.2.1 is routed by 10.1.0.1 on lo, not by the next hop of the link, 10.2.0.1: "
            "try 'ip rule add fwmark 7 table 100' and "
            "'ip route add 192.0.2.1 via 10.2.0.1 dev INTERFACE table 100'",
        ),
        (
            ProbedLink("a", target="2001:db8::1", next_hop="2001:db8:1::1", source="2001:db8:1::2"),
            Route(1, "2001:db8:2::1"),
            "try 'ip -6 rule add from 2001:db8:1::2 table 100' and "
            "'ip -6 route add 2001:db8::1 via 2001:db8:1::1 dev INTERFACE table 100'",
        ),
        (
            ProbedLink("a", target="192.0.2.1", next_hop="10.2.0.1", interface="lo"),
            Route(1),
            "routed straight out of lo, not by the next hop of the link, 10.2.0.1: try "
            "'ip rule add oif lo table 100' and 'ip route add 192.0.2.1 via 10.2.0.1 dev lo table 100'",
        ),
        (
            ProbedLink("a", target="192.0.2.1", next_hop="192.0.2.1", interface="lo"),
            WAY,
            "'ip route add 192.0.2.1 dev lo table 100'",
        ),
        (ProbedLink("a", target="192.0.2.1", next_hop="10.2.0.1"), WAY, "set the link's interface, source"),
    ],
)
def test_a_round_by_another_next_hop_is_off_path_and_says_how_to_mend_it(
    link: ProbedLink, route: Route, said: str
) -> None:
    probe = Fixed()
    (error,) = rounds(Known(route), 1, link, probe)
    assert isinstance(error, ProbeError) and error.outcome is Outcome.OFF_PATH
    assert said in error.message
    assert probe.rounds == 0


def test_a_round_that_ends_off_the_links_next_hop_is_not_measured() -> None:
    link = ProbedLink("a", target="192.0.2.1", next_hop="10.1.0.1")
    first, second, third = rounds(Known(WAY, OTHER, WAY), 3, link)
    assert isinstance(first, ProbeError) and first.outcome is Outcome.OFF_PATH
    assert second == third == MEASURED


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (OSError(errno.ENETUNREACH, "Network is unreachable"), Outcome.UNREACHABLE),
        (ValueError("odd"), Outcome.FAILED),
    ],
)
def test_no_route_is_why_there_is_no_measurement(error: Exception, outcome: Outcome) -> None:
    (failed,) = rounds(Known(error), 1)
    assert isinstance(failed, ProbeError) and failed.outcome is outcome
    assert "cannot find a route to 192.0.2.1" in failed.message


def test_a_source_that_this_machine_does_not_have_is_named_as_why_there_is_no_route() -> None:
    no_way = OSError(errno.ENETUNREACH, "Network is unreachable")
    (failed,) = rounds(Known(no_way), 1, ProbedLink("a", target="192.0.2.1", source="192.0.2.77"))
    assert isinstance(failed, ProbeError) and failed.outcome is Outcome.UNREACHABLE
    assert failed.message == "cannot send from 192.0.2.77: no interface of this machine has that address"


def test_where_the_kernel_cannot_be_asked_only_a_link_with_a_next_hop_is_not_measured() -> None:
    closed = RoutesUnknown("the kernel cannot be asked for routes: not supported")
    assert rounds(Known(closed), 2) == [MEASURED] * 2
    (error,) = rounds(Known(closed), 1, ProbedLink("a", target="192.0.2.1", next_hop="10.1.0.1"))
    assert isinstance(error, ProbeError) and error.outcome is Outcome.DENIED


def test_a_next_hop_that_is_no_address_is_named() -> None:
    (error,) = rounds(Known(WAY), 1, ProbedLink("a", target="192.0.2.1", next_hop="router"))
    assert isinstance(error, ProbeError) and error.outcome is Outcome.FAILED
    assert "'router' is no IP address" in error.message
