"""TCP connect time to a service behind a link, as a client of that service sees it."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Sequence
from dataclasses import dataclass

from edge_agent.contract import Outcome
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.connect_settings import SPACING_S, ConnectSettings
from edge_agent.probes.probe import (
    Measurement,
    ProbeError,
)
from edge_agent.probes.resolve import Endpoint, Resolver
from edge_agent.probes.tcp import connect_tcp, open_tcp

REPORT_AT = 0.9
"""The part of its timeout after which a round reports what it has, so that it does not overrun."""
RESOLVE_WITHIN = 0.5
ANSWER_WITHIN = 0.1
"""The part of its timeout that an answer has at least; with less to go, nothing more is tried."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one connection ended: connected after so long, refused, or neither (no answer)."""

    connected_ns: int | None = None
    refused: bool = False


def summary(attempts: Sequence[Attempt]) -> Measurement:
    """The connect reading of a round: counts, then min, median, max and mean connect time in µs.

    A refusal is an answer of the host, not of the service, so its time is no connect time.
    """
    times = sorted(each.connected_ns for each in attempts if each.connected_ns is not None)
    refused = sum(each.refused for each in attempts)
    counts = (len(attempts), len(times), refused, len(attempts) - len(times) - refused)
    if not times:
        return Measurement("connect", (*counts, None, None, None, None))
    middle = (times[(len(times) - 1) // 2] + times[len(times) // 2]) / 2
    figures = (times[0], middle, times[-1], sum(times) / len(times))
    return Measurement("connect", (*counts, *(int((each + 500) // 1000) for each in figures)))


class ConnectProbe:
    """Connects to the link's target a few times a round; each connection is closed at once."""

    kind = "connect"

    def __init__(self, settings: ConnectSettings, resolver: Resolver | None = None) -> None:
        self._settings = settings
        self._resolver = resolver or Resolver()

    async def __call__(self, link: ProbedLink) -> Measurement:
        """One round; raises ProbeError when no connection could even be tried."""
        timeout_s = self._settings.timeout_s
        until = time.monotonic() + timeout_s * REPORT_AT
        endpoint = await self._resolver.resolve(link.target, link.device, timeout_s * RESOLVE_WITHIN)
        async with asyncio.TaskGroup() as group:
            turns = [
                group.create_task(self._attempt(endpoint, link, turn * SPACING_S, until))
                for turn in range(self._settings.count)
            ]
        ends = [turn.result() for turn in turns]
        attempts = [end for end in ends if isinstance(end, Attempt)]
        errors = [end for end in ends if isinstance(end, ProbeError)]
        if errors and not attempts:
            raise errors[0]
        return summary(attempts)

    async def _attempt(
        self, endpoint: Endpoint, link: ProbedLink, delay_s: float, until: float
    ) -> Attempt | ProbeError:
        """One connection; a ProbeError is returned, so that it does not end the others."""
        await asyncio.sleep(delay_s)
        within_s = until - time.monotonic()
        if within_s < self._settings.timeout_s * ANSWER_WITHIN:
            return ProbeError(Outcome.OVERRUN, "the look-up or a busy machine left no time to connect")
        try:
            with open_tcp(endpoint, link) as opened:
                code, took_ns = await connect_tcp(opened, endpoint, self._settings.port, within_s)
        except ProbeError as error:
            return error
        return Attempt(took_ns if code == 0 else None, refused=code == errno.ECONNREFUSED)

    def close(self) -> None:
        """Nothing is held between rounds."""
