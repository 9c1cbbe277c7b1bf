"""The way to the broker: whether it is metered now, and how the uplink saves bytes while it is."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable
from contextlib import suppress

from edge_agent.budget import Purpose, Spend
from edge_agent.budget.budgeted import LOOKUP_BYTES
from edge_agent.budget.calendar_windows import Span, end_of, start_of
from edge_agent.budget.meters import Meters
from edge_agent.config import Config
from edge_agent.probes import ProbeError
from edge_agent.probes.resolve import Endpoint, Resolver
from edge_agent.profile import Profile

LOOK_S = 15.0
"""How often the kernel is asked for the way, which costs 20 µs."""
RESOLVE_S = 10.0
REMEMBERED_S = 6 * 3600.0
"""How long the broker's address is good enough to ask the kernel for the way to it."""
RETRY_S = 3600.0
"""After so long a name that did not resolve is asked for again; meanwhile the way to anywhere is its way."""
METERED_FLUSH_S = 3600.0
"""A batch an hour on a metered way; alarms go at once."""
SPARE = 0.9
"""Back-fill uses what this part of the month's budget, up to now, has left."""

log = logging.getLogger(__name__)


class WayOut:
    """Watches by which interface the broker is reached; a failover changes it."""

    def __init__(
        self,
        config: Config,
        *,
        meters: Meters | None = None,
        resolver: Resolver | None = None,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self._profile = Profile(config)
        self.meters = meters or Meters(self._profile)
        """Asks the kernel for ways."""
        self._resolver = resolver or Resolver(remembered_s=REMEMBERED_S)
        self._host = broker_host(config)
        self._flush_s = config.uplink.flush_s
        self._reset_day = config.budget.reset_day
        self._wall_s = wall_s
        self._meter = ""
        self._has_been_open = False
        self._ask_again_s = 0.0
        self.look()

    def meter(self) -> str:
        """The metered interface on the way to the broker, "" where bytes are free."""
        return self._meter

    def flush_s(self) -> float:
        """How often batches go now, s."""
        return max(self._flush_s, METERED_FLUSH_S) if self._meter else self._flush_s

    def holds_backfill(self, meter: str, spent: int, limit: int) -> bool:
        """Whether back-fill waits, with so much of the month's limit spent, bytes.

        After a failover it waits for the open way. Where there is none, it gets what the month has left over.
        """
        if self._has_been_open:
            return True
        now_s = self._wall_s()
        start_s = start_of(Span.MONTH, now_s, self._reset_day)
        passed = (now_s - start_s) / (end_of(Span.MONTH, start_s, self._reset_day) - start_s)
        return spent > limit * SPARE * passed

    def look(self) -> None:
        """Ask the kernel for the way; where there is none, it stays what it was."""
        if not self._profile.is_anything_metered:
            return
        meter = self.meters.of_target(self._endpoint())
        if meter is None:
            return
        self._has_been_open = self._has_been_open or not meter
        if meter != self._meter:
            now = f"by {meter}, where bytes cost" if meter else "where bytes are free"
            log.info("the way to %s is now %s", self._host, now)
            self._meter = meter

    async def run(self, spend: Spend) -> None:
        """Look regularly, for ever; questions for the broker's address are booked with ``spend``."""
        if not self._profile.is_anything_metered:
            await asyncio.Event().wait()
        loop = asyncio.get_running_loop()
        while True:
            if self._endpoint() is None and loop.time() >= self._ask_again_s:
                self._ask_again_s = loop.time() + RETRY_S
                if spend.book(Purpose.CONTROL, LOOKUP_BYTES, self._meter):
                    with suppress(ProbeError):
                        await self._resolver.resolve(self._host, "", RESOLVE_S)
            self.look()
            await asyncio.sleep(LOOK_S)

    def _endpoint(self) -> Endpoint | None:
        return self._resolver.known(self._host)

    def close(self) -> None:
        """Release the way to ask."""
        self.meters.close()


def broker_host(config: Config) -> str:
    """The host that the uplink's packets go to: the broker, or the proxy before it."""
    found = re.fullmatch(r"http://\[?(.*?)\]?:\d+", config.mqtt.proxy)
    return found[1] if found else config.mqtt.endpoint
