"""Targets to addresses, outside the timed part of a round: a name server's delay is not the link's."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from edge_agent.contract import Outcome
from edge_agent.probes.probe import ProbeError
from edge_agent.probes.socket_errors import interface_index

REMEMBERED_S = 60.0
"""How long an answer is used, so that a round rarely waits for a name server."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An IPv4 or IPv6 address without a port."""

    family: socket.AddressFamily
    address: str
    scope: int = 0
    """Interface index of an IPv6 link-local address, else 0."""

    def sockaddr(self, port: int = 0) -> tuple[str, int] | tuple[str, int, int, int]:
        """The form that socket calls take."""
        if self.family == socket.AF_INET6:
            return (self.address, port, 0, self.scope)
        return (self.address, port)


Lookup = Callable[[str], Coroutine[Any, Any, Endpoint]]


async def ask_system(name: str) -> Endpoint:
    """The system's first choice of address for a name (RFC 6724 order); raises OSError or ValueError."""
    loop = asyncio.get_running_loop()
    return _first(await loop.getaddrinfo(_host(name), None, type=socket.SOCK_DGRAM))


class Resolver:
    """Resolves targets: one look-up at a time for a name, remembered for a minute."""

    def __init__(
        self,
        lookup: Lookup = ask_system,
        monotonic: Callable[[], float] = time.monotonic,
        remembered_s: float = REMEMBERED_S,
    ) -> None:
        self._lookup = lookup
        self._monotonic = monotonic
        self._remembered_s = remembered_s
        self._known: dict[str, tuple[float, Endpoint]] = {}
        self._running: dict[str, asyncio.Task[Endpoint]] = {}

    async def resolve(self, target: str, interface: str, timeout_s: float) -> Endpoint:
        """The address of a target; raises ProbeError(UNRESOLVED) when there is none in time.

        A link-local IPv6 address without a zone is taken to be on the link's interface.
        """
        endpoint = _numeric(target) or self._recent(target) or await self._ask(target, timeout_s)
        local = endpoint.family == socket.AF_INET6 and endpoint.address.lower().startswith("fe80:")
        if local and not endpoint.scope:
            if not interface:
                message = f"{target} is link-local: the link must name its interface"
                raise ProbeError(Outcome.UNRESOLVED, message)
            return Endpoint(endpoint.family, endpoint.address, interface_index(interface))
        return endpoint

    def known(self, target: str) -> Endpoint | None:
        """The address of a target as far as it is known without asking anybody."""
        return _numeric(target) or self._recent(target)

    def _recent(self, name: str) -> Endpoint | None:
        at, endpoint = self._known.get(name, (0.0, None))
        return endpoint if endpoint and self._monotonic() - at < self._remembered_s else None

    async def _ask(self, name: str, timeout_s: float) -> Endpoint:
        if not name:
            raise ProbeError(Outcome.UNRESOLVED, "the link has no target")
        try:
            async with asyncio.timeout(timeout_s):
                # Shielded: a thread that waits for a name server cannot be stopped; the next round joins it.
                endpoint = await asyncio.shield(self._task(name))
        except TimeoutError as exc:
            message = f"{name} does not resolve: no answer within {timeout_s:g} s"
            raise ProbeError(Outcome.UNRESOLVED, message) from exc
        except (OSError, ValueError) as exc:
            reason = getattr(exc, "strerror", None) or exc
            raise ProbeError(Outcome.UNRESOLVED, f"{name} does not resolve: {reason}") from exc
        self._known[name] = (self._monotonic(), endpoint)
        return endpoint

    def _task(self, name: str) -> asyncio.Task[Endpoint]:
        if name not in self._running:
            task = asyncio.create_task(self._lookup(name))
            task.add_done_callback(lambda done: self._finished(name, done))
            self._running[name] = task
        return self._running[name]

    def _finished(self, name: str, task: asyncio.Task[Endpoint]) -> None:
        self._running.pop(name, None)
        if not task.cancelled():
            task.exception()  # marks it as seen: the round that wanted it may have timed out


def _numeric(target: str) -> Endpoint | None:
    """The endpoint when the target is an address already, which takes no look-up and no thread."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            return Endpoint(family, socket.inet_ntop(family, socket.inet_pton(family, target)))
        except (OSError, ValueError):
            continue
    flags = socket.AI_NUMERICHOST  # with a zone, or in an old form of IPv4
    try:
        return _first(socket.getaddrinfo(_host(target or "-"), None, type=socket.SOCK_DGRAM, flags=flags))
    except (OSError, ValueError):
        return None


def _host(name: str) -> str | bytes:
    """ASCII as bytes, for which Python does not load its tables of international names (1 MiB)."""
    return name.encode() if name.isascii() else name


def _first(answers: Sequence[tuple[Any, ...]]) -> Endpoint:
    family, _, _, _, sockaddr = answers[0]
    scope = sockaddr[3] if family == socket.AF_INET6 else 0
    return Endpoint(family, sockaddr[0].partition("%")[0], scope)
