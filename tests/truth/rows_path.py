"""Rows of the path and neighbour probes: the edges that they find beside those that were built."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from ipaddress import IPv6Address, ip_address
from itertools import pairwise

from tests.truth.probing import Round, rounds
from tests.truth.report import Case, Row, judge
from tests.truth.routed import Edge, Routed, chain

SETTINGS = {"wait_ms": 500, "spacing_ms": 5, "hops": 16}
TRACES = 20
"""Of the balanced network: enough for both of its ways to be taken (but for one time in 500,000)."""
STEADY = 8
"""Rounds of one link there, which must all go one way (by chance: 1 in 128)."""
BALANCED = [
    ("near", "r1"),
    *(("r1", "a1"), ("a1", "a2"), ("a2", "r2")),
    *(("r1", "b1"), ("b1", "b2"), ("b2", "r2")),
    ("r2", "far"),
]
"""Two ways of two routers each: a trace whose probes take both shows edges that nobody built."""


def cases() -> list[Case]:
    """Chains over IPv4 and IPv6, one with a silent router, balanced ways, and the cable's other end."""
    chains = [partial(whole, routers, version) for routers in (1, 5) for version in (4, 6)]
    return [*chains, silent, balanced, neighbour]


def whole(routers: int, version: int) -> Iterator[Row]:
    """Every edge of a chain, no other, and twice the same."""
    with Routed(chain(routers)) as net:
        taken = rounds(net.near, "path", 2, net.target(version), **SETTINGS)
        built = set(net.edges)
        found = {edge for trace in traces(taken) for edge in edges(net, trace, version)}
    changed = sum(each.get("changed") or 0 for each in taken)
    yield compared(f"{routers} routers, IPv{version}", found, built, f"{changed} changes between two traces")


def silent() -> Iterator[Row]:
    """A router that forwards and never answers: its edges are not seen, and none are made up."""
    with Routed(chain(4)) as net:
        net.nodes["r2"].run(["ip", "rule", "add", "pref", "10", "iif", "lo", "prohibit"])
        taken = rounds(net.near, "path", 1, net.target(), **SETTINGS)
        built = {edge for edge in net.edges if "r2" not in edge}
        (trace,) = traces(taken)
        found = set(edges(net, trace))
    unseen = sum(each.get("address_low") is None for each in taken)
    yield compared("4 routers, the second silent", found, built, f"{unseen} hop without an address")


def balanced() -> Iterator[Row]:
    """Many traces over two equal ways: together they find every edge, and each only such as there are."""
    with Routed(BALANCED) as net:
        # Another port is another flow, which may be sent the other way.
        settings = [SETTINGS | {"attempts": 2, "port": 33_434 + each} for each in range(TRACES)]
        taken = [traces(rounds(net.near, "path", 1, net.target(), **each))[0] for each in settings]
        again = rounds(net.near, "path", STEADY, net.target(), **settings[0])
        built = set(net.edges)
        found = {edge for trace in taken for edge in edges(net, trace)}
        # What a traceroute sees that asks for each hop with another flow.
        mixed = [[taken[(at + hop) % TRACES][hop] for hop in range(5)] for at in range(TRACES)]
        others = {edge for trace in mixed for edge in edges(net, trace)}
    # r2 has an address on each of its ways, and answers with that of the way taken: all are told apart.
    row = compared(f"two equal ways, {TRACES} traces", found, built)
    yield replace(row, peers={"a flow for each hop": len(others ^ built)})
    changes = sum(each.get("changed") or 0 for each in again)
    yield judge("path changes", f"two equal ways, {STEADY} rounds of a link", changes, 0, "rows", 0)


def neighbour() -> Iterator[Row]:
    """Whom near finds at the other end of its cable: by ARP and discovery, each once."""
    with Routed(chain(1)) as net:
        net.near.run(["ping", "-c", "1", net.address(1)])
        net.near.run(["ping", "-c", "1", net.address(1, version=6)])
        taken = rounds(net.near, "neighbour", 1, net.target(), listen_s=0.5)
        mac = net.nodes["r1"].run(["cat", "/sys/class/net/r10/address"]).stdout.strip()
    built = {(mac, net.address(1)), (mac, net.address(1, version=6))}
    found = {(bytes_of(each["mac"]), address(each)) for each in taken if each.get("mac") is not None}
    told = {each for each in found if not each[1].startswith("fe80:")}  # its link-local address is chance
    yield _row("neighbour", "one cable, ARP and ND", told, built, "link-local address left out")


def compared(condition: str, found: set[Edge], built: set[Edge], note: str = "") -> Row:
    """A row of edges."""
    return _row("path edges", condition, found, built, note)


def _row(
    what: str, condition: str, found: set[tuple[str, str]], built: set[tuple[str, str]], note: str
) -> Row:
    """Found beside built: the error is what is missing and what is made up."""
    error = len(found ^ built)
    return Row(what, condition, len(found), len(built), error, "edges", 0, error == 0, note=note)


def traces(taken: Sequence[Round]) -> list[list[Round]]:
    """The rows of each round, which begins at its first hop."""
    found: list[list[Round]] = []
    for each in taken:
        if each.get("hop") == 1:
            found.append([])
        if found:
            found[-1].append(each)
    return found


def edges(net: Routed, trace: Sequence[Round], version: int = 4) -> Iterator[Edge]:
    """The edges that a trace shows, by name: between near and its hops, both ends seen."""
    names = {
        net.address(number, end, version): edge[end - 1]
        for number, edge in enumerate(net.edges, 1)
        for end in (1, 2)
    }
    seen = ["near", *(names.get(address(hop), address(hop)) for hop in trace)]
    yield from (edge for edge in pairwise(seen) if all(edge))


def address(told: Round) -> str:
    """The address of a row; empty when nobody answered."""
    if told.get("address_low") is None:
        return ""
    given = IPv6Address((told["address_high"] << 64) + told["address_low"])
    return str(given.ipv4_mapped or ip_address(given))


def bytes_of(mac: int) -> str:
    """A MAC address as text."""
    return mac.to_bytes(6, "big").hex(":")
