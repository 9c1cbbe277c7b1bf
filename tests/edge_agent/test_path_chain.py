"""Paths over a real routed chain, with nothing left behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from edge_agent.probes.path import halves
from tests.edge_agent.netns import needs_netns
from tests.truth.lab import Side
from tests.truth.routed import Routed, chain

TRACE = """
import asyncio, json, os, sys
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.path import PathProbe, PathSettings
from edge_agent.probes.probe import ProbeError

async def main(interface, *targets):
    probe = PathProbe(PathSettings(wait_ms=300, spacing_ms=2, hops=12, attempts=2))
    for target in targets:
        try:
            found = [each.values for each in await probe(ProbedLink("a", target=target, interface=interface))]
        except ProbeError as error:
            found = [error.outcome.name, error.message]
        print(json.dumps(found))
    print(len(os.listdir("/proc/self/fd")), "scapy" in sys.modules)

if len(sys.argv) > 3 and sys.argv[1] == "nobody":
    os.setgroups([]), os.setgid(65534), os.setuid(65534), sys.argv.pop(1)
asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def net() -> Iterator[Routed]:
    with Routed(chain(3)) as routed:
        yield routed


def said(side: Side, *arguments: str) -> list[Any]:
    *found, _ = side.python(TRACE, *arguments).splitlines()
    return [json.loads(line) for line in found]


def trace(side: Side, *arguments: str) -> list[list[list[int | None]]]:
    return said(side, *arguments)


def failure(side: Side, *arguments: str) -> tuple[str, str]:
    ((outcome, message),) = said(side, *arguments)
    return outcome, message


def addresses(found: list[list[int | None]]) -> list[int | None]:
    return [None if values[4] is None else (values[4] << 64) + (values[5] or 0) for values in found]


def number(address: str) -> int:
    told = halves(address)
    return ((told["address_high"] or 0) << 64) + (told["address_low"] or 0)


@needs_netns
@pytest.mark.parametrize("version", [4, 6])
def test_the_hops_found_are_the_routers_built(net: Routed, version: int) -> None:
    first, second = trace(net.near, "near0", net.target(version), net.target(version))
    assert addresses(first) == [number(net.address(link, version=version)) for link in range(1, 5)]
    assert [values[:4] for values in first] == [[hop, 4, 2, 2] for hop in range(1, 5)]
    assert [values[7] for values in second] == [0, 0, 0, 0]


@needs_netns
def test_a_router_that_keeps_silent_is_a_row_without_an_address(net: Routed) -> None:
    """Without a route back to near it forwards, and cannot tell that it dropped one."""
    silent = net.nodes["r2"]
    silent.run(["ip", "rule", "add", "pref", "10", "from", "all", "iif", "lo", "prohibit"])
    try:
        (found,) = trace(net.near, "near0", net.target())
    finally:
        silent.run(["ip", "rule", "del", "pref", "10"])
    wanted = [number(net.address(link)) for link in range(1, 5)]
    assert addresses(found) == [wanted[0], None, *wanted[2:]]


@needs_netns
def test_a_path_that_gets_longer_between_rounds_is_changed(net: Routed) -> None:
    near, middle, _ = trace(net.near, "near0", net.address(2), net.target(), net.target())
    assert [values[1] for values in near] == [2, 2]
    assert [values[7] for values in middle] == [1, 1, 1, 1]


@needs_netns
def test_a_trace_leaves_no_socket_no_child_and_no_scapy(net: Routed) -> None:
    last = net.near.python(TRACE, "near0", net.target()).splitlines()[-1]
    again = net.near.python(TRACE, "near0", *[net.target()] * 3).splitlines()[-1]
    assert last == again
    assert last.endswith("False")


@needs_netns
def test_without_privilege_it_is_denied_with_what_it_needs(net: Routed) -> None:
    outcome, message = failure(net.near, "nobody", "near0", net.target())
    assert outcome == "DENIED"
    assert "CAP_NET_RAW" in message


@needs_netns
def test_no_route_is_unreachable(net: Routed) -> None:
    assert failure(net.nodes["far"], "", "192.0.2.1")[0] == "UNREACHABLE"
