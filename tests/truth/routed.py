"""Routed namespaces, of which every edge is known: a chain, or ways that part and meet again."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tests.truth.lab import Side

Edge = tuple[str, str]
_numbers = itertools.count()


def chain(routers: int) -> list[Edge]:
    """near - r1 - ... - rN - far."""
    return list(itertools.pairwise(["near", *(f"r{number}" for number in range(1, routers + 1)), "far"]))


class Routed:
    """A namespace for each name, a cable for each edge, and the shortest routes between all of them.

    Edge I (from 1) is 10.79.I.0/24 and fd79:I::/64: its first end has host number 1, its second 2.
    Interfaces are named after the node and numbered: near0 is the first of near.
    """

    def __init__(self, edges: Sequence[Edge]) -> None:
        name = f"truth-{os.getpid()}-routed{next(_numbers)}"
        self.edges = list(edges)
        names = dict.fromkeys(itertools.chain.from_iterable(edges))
        self.nodes = {node: Side(f"{name}-{node}") for node in names}
        self._devices = dict.fromkeys(names, 0)

    @property
    def near(self) -> Side:
        """Where the probes are."""
        return self.nodes["near"]

    def address(self, edge: int, end: int = 2, version: int = 4) -> str:
        """The address of an end of an edge; the second answers a trace that comes over the edge."""
        return f"10.79.{edge}.{end}" if version == 4 else f"fd79:{edge:x}::{end}"

    def target(self, version: int = 4) -> str:
        """The address of the second end of the last edge."""
        return self.address(len(self.edges), 2, version)

    def __enter__(self) -> Self:
        try:
            for node in self.nodes.values():
                subprocess.run(["ip", "netns", "add", node.namespace], check=True)
                node.run(["sh", "-c", _PREPARE])
            for number, edge in enumerate(self.edges, 1):
                self._join(number, edge)
            for name in self.nodes:
                self._route(name)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _join(self, number: int, edge: Edge) -> None:
        devices = []
        for name in edge:
            devices.append(f"{name}{self._devices[name]}")
            self._devices[name] += 1
        one, other = (self.nodes[name] for name in edge)
        peer = ["peer", "name", devices[1], "netns", other.namespace]
        one.run(["ip", "link", "add", devices[0], "type", "veth", *peer])
        for end, (side, device) in enumerate(zip((one, other), devices, strict=True), 1):
            batch = f"""addr add {self.address(number, end)}/24 dev {device}
                addr add {self.address(number, end, 6)}/64 dev {device} nodad
                link set {device} up
            """
            side.run(["ip", "-batch", "-"], input=batch)

    def _route(self, name: str) -> None:
        """The shortest ways to every edge that is not its own, several where they are equally long."""
        lines = []
        for number, edge in enumerate(self.edges, 1):
            if name in edge:
                continue
            steps = self._steps(edge)
            nearer = [each for each in self._around(name) if steps[each[0]] == steps[name] - 1]
            for version in (4, 6):
                hops = " ".join(f"nexthop via {self.address(at, end, version)}" for _, at, end in nearer)
                prefix = f"10.79.{number}.0/24" if version == 4 else f"fd79:{number:x}::/64"
                lines.append(f"route add {prefix} {hops}")
        self.nodes[name].run(["ip", "-batch", "-"], input="\n".join(lines) + "\n")

    def _around(self, name: str) -> list[tuple[str, int, int]]:
        """Each neighbour of a node, with the edge to it and the neighbour's end of that."""
        found = []
        for number, edge in enumerate(self.edges, 1):
            if name in edge:
                end = 2 - edge.index(name)
                found.append((edge[end - 1], number, end))
        return found

    def _steps(self, edge: Edge) -> dict[str, int]:
        """How many edges each node is away from the nearer end of an edge."""
        steps = dict.fromkeys(edge, 0)
        waiting = list(edge)
        for name in waiting:
            for neighbour, _, _ in self._around(name):
                if neighbour not in steps:
                    steps[neighbour] = steps[name] + 1
                    waiting.append(neighbour)
        return steps

    def _close(self) -> None:
        for node in self.nodes.values():
            node.close()
            subprocess.run(["ip", "netns", "del", node.namespace], capture_output=True, check=False)


_PREPARE = """
ip link set lo up
cd /proc/sys/net
for file in ipv4/ip_forward ipv6/conf/all/forwarding; do echo 1 >$file; done
for file in all default; do echo 0 >ipv6/conf/$file/accept_dad; done
for version in 4 6; do echo 1 >ipv$version/fib_multipath_hash_policy; done
for file in ipv4/icmp_ratelimit ipv6/icmp/ratelimit; do echo 0 >$file; done
"""
"""Forwarding, balanced by ports; link-local addresses that need not wait to be found unique; no limit on how
many errors a router sends: it is traced again and again."""
