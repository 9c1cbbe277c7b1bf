"""Echo rounds of one probe over real sockets."""

from __future__ import annotations

import asyncio

from edge_agent.probes import EchoSettings, Measurement
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.echo import EchoProbe

FAST = EchoSettings(period_s=10, timeout_s=5, count=5, spacing_ms=2)


def echo(
    settings: EchoSettings, *links: ProbedLink, stamping: bool = True, rounds: int = 1
) -> list[Measurement]:
    """Measure all links at once with one probe, round after round."""

    async def measure() -> list[Measurement]:
        probe = EchoProbe(settings, stamping=stamping)
        try:
            return [m for _ in range(rounds) for m in await asyncio.gather(*map(probe, links))]
        finally:
            probe.close()

    return asyncio.run(measure())
