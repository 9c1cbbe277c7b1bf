"""How the agent is: gathered from its parts, for the status file and for the reading of kind `agent`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence

from edge_agent.clock import Clock
from edge_agent.complaints import complaints
from edge_agent.config import GATEWAY_LINK, Config
from edge_agent.contract import KINDS, Reading, row
from edge_agent.delivery import DeliverySide
from edge_agent.pulse import Pulse
from edge_agent.reception import Reception
from edge_agent.spool import SpoolError, SpoolStats
from edge_agent.spool_folder import folder_of
from edge_agent.status import Delivery, Held, Meter, Seen, Status
from edge_agent.taken import Taken

LOOK_S = 5.0
"""How long the spool may take to answer; then what it said before is told."""
_LARGEST = {column.name: column.maximum for column in KINDS["agent"].columns}


class LastReadings:
    """The latest reading of each kind on each link, and how old it is."""

    def __init__(self, monotonic: Callable[[], float], links: Sequence[str] = ()) -> None:
        """``links`` are ids in the order in which they are to be shown."""
        self._monotonic = monotonic
        self._places = {link: place for place, link in enumerate(links)}
        self._seen: dict[tuple[str, str], tuple[Reading, float]] = {}

    def note(self, taken: Taken) -> None:
        """Take in a reading that was just taken."""
        reading = taken.reading
        self._seen[reading.link, reading.kind] = reading, self._monotonic()

    def seen(self) -> tuple[Seen, ...]:
        """All of them, link by link."""
        now_s, last = self._monotonic(), len(self._places)
        by_link = sorted(
            self._seen.items(), key=lambda item: (self._places.get(item[0][0], last), item[0][0])
        )
        return tuple(Seen(reading, now_s - at_s) for _, (reading, at_s) in by_link)


class Health:
    """Looks at the parts of an agent; each look is a Status."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        seen: LastReadings,
        reception: Reception,
        delivery: DeliverySide,
        pulse: Pulse,
        *,
        started_s: float,
        meters: Callable[[], Sequence[Meter]] = tuple,
    ) -> None:
        """``started_s`` is when the agent began, by ``clock.monotonic``."""
        self._config = config
        self._clock = clock
        self._seen = seen
        self._reception = reception
        self._side = delivery
        self._pulse = pulse
        self._started_s = started_s
        self._meters = meters
        self._stats: SpoolStats | None = None
        self._dropped_before = 0
        self._asked: asyncio.Future[SpoolStats] | None = None
        self.refused_reload = ""
        """The first mistake of a configuration that was not taken."""

    async def look(self, is_stopped: bool = False) -> Status:
        """The agent now; never fails, and never waits for a disk for longer than LOOK_S."""
        await self._ask_spool()
        spool, delivery, seen = self._held(), self._delivery(), self._seen.seen()
        error_ns = self._clock.error_ns()
        dropped = self._stats.dropped - self._dropped_before if self._stats else 0
        return Status(
            gateway=self._config.gateway.name,
            pid=os.getpid(),
            boot=self._clock.boot_id(),
            since_boot_s=self._clock.monotonic(),
            uptime_s=self._clock.monotonic() - self._started_s,
            written_ms=self._clock.wall_ms(),
            clock_error_us=None if error_ns is None else error_ns // 1000,
            delivery=delivery,
            spool=spool,
            meters=tuple(self._meters()),
            seen=seen,
            problems=complaints(
                delivery,
                spool,
                seen,
                clock_synced=self._clock.synced(),
                dropped_now=dropped + self._reception.lost,
                stalled=self._pulse.stalled(),
                refused_reload=self.refused_reload,
            ),
            is_stopped=is_stopped,
        )

    async def _ask_spool(self) -> None:
        parts = self._side.parts
        if parts is None:
            return
        if self._asked is None or self._asked.done():
            loop = asyncio.get_running_loop()
            self._asked = loop.run_in_executor(self._side.executor, parts.spool.stats)
        await asyncio.wait([self._asked], timeout=LOOK_S)
        if not self._asked.done():
            return
        try:
            stats = self._asked.result()
        except SpoolError:
            return  # the intake tells what is wrong with it
        if self._stats is None:
            self._dropped_before = stats.dropped
        self._stats = stats

    def _held(self) -> Held:
        path, bound = str(folder_of(self._config.spool.path)), self._config.spool.max_mib << 20
        in_memory, parts = self._reception.waiting, self._side.parts
        if parts is None:
            return Held(path, False, "", in_memory, bound=bound)
        in_memory += parts.intake.waiting
        stats, trouble = self._stats, parts.intake.trouble
        if stats is None:
            return Held(path, True, trouble, in_memory, bound=bound)
        oldest_s = max(self._clock.wall_ms() - stats.oldest_ms, 0) / 1000 if stats.oldest_ms else None
        return Held(
            path=path,
            is_open=True,
            trouble=trouble,
            in_memory=in_memory,
            unsealed=stats.unsealed,
            batches=stats.batches,
            waiting=stats.held,
            used=stats.bytes,
            bound=bound,
            oldest_s=oldest_s if stats.held else None,
            accepted=stats.accepted,
            acked=stats.acked,
            dropped={loss.name.lower(): count for loss, count in stats.dropped_by.items()},
            damaged=stats.damaged_bytes,
        )

    def _delivery(self) -> Delivery:
        parts = self._side.parts
        if parts is None:
            return Delivery()
        told = parts.uplink.counts()
        for_s = max(self._clock.wall_ms() - told.since_ms, 0) / 1000 if told.since_ms else None
        numbers = (told.published, told.acked, told.refused, told.failed, told.connects, told.resent)
        return Delivery(told.state, for_s, told.why, *numbers)


def agent_reading(status: Status) -> Reading:
    """The status as a reading of kind `agent`, still without its time."""
    spool, delivery = status.spool, status.delivery
    month = sum(meter.month for meter in status.meters)
    limit = sum(meter.month_limit for meter in status.meters)
    lasting = [meter.lasts_s for meter in status.meters if meter.lasts_s is not None]
    columns: dict[str, float | None] = {
        "uptime_s": status.uptime_s,
        "clock_error_us": status.clock_error_us,
        "waiting": spool.waiting + spool.in_memory,
        "unsealed": spool.unsealed,
        "batches": spool.batches,
        "spool_kib": spool.used / 1024,
        "spool_max_kib": spool.bound / 1024,
        "oldest_s": spool.oldest_s,
        "accepted": spool.accepted,
        "acked": spool.acked,
        "published": delivery.published,
        "refused": delivery.refused,
        "failed": delivery.failed,
        "connects": delivery.connects,
        "resent": delivery.resent,
        **{f"dropped_{reason}": count for reason, count in (spool.dropped or {}).items()},
    }
    if status.meters:
        columns |= {
            "hour_kib": sum(meter.hour for meter in status.meters) / 1024,
            "day_kib": sum(meter.day for meter in status.meters) / 1024,
            "month_kib": month / 1024,
            "month_limit_kib": limit / 1024 if limit else None,
            "lasts_s": min(lasting, default=None),
        }
    fitting = {
        name: None if value is None else min(max(int(value), 0), _LARGEST[name])
        for name, value in columns.items()
        if name in _LARGEST
    }
    return Reading(GATEWAY_LINK, "agent", 0, row("agent", **fitting))
