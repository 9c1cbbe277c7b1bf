"""A link that is not there: a seeded model of one, as a pure function of seed, link id and time."""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Sequence

from edge_agent.clock import Clock, SystemClock
from edge_agent.contract import Flag, Link
from edge_agent.probes.echo_statistics import statistics
from edge_agent.probes.probe import Measurement
from edge_agent.probes.simulated_settings import SimulatedSettings

ECHOES = 5
_DAY_MS = 86_400_000
_WORDS = struct.Struct("!16I")
_FULL = 1 << 32


class LinkModel:
    """One link: a base round trip, load by the hour, jitter, loss and a rare outage.

    Random numbers are hashes of seed, link and time (BLAKE2b, RFC 7693), so a round is the same in whatever
    order rounds are asked for, and costs one hash.
    """

    __slots__ = (
        "_day",
        "_hash",
        "_outage",
        "base_ns",
        "jitter_ns",
        "loss",
        "outages_a_day",
        "peak_ms",
        "swell",
    )

    def __init__(self, seed: int, link_id: str) -> None:
        self._hash = hashlib.blake2b(f"{seed}/{link_id}".encode(), digest_size=64)
        draw = self._draw("link", 0)
        satellite, poor = draw[0] < 0.05, draw[1] < 0.15
        self.base_ns = 560e6 + 60e6 * draw[2] if satellite else 2e6 * 30 ** draw[2]
        """Round trip without load, ns: 2 to 60 ms, or that of a geostationary satellite."""
        self.jitter_ns = self.base_ns * (0.004 if satellite else 0.015)
        """Mean of what an echo takes longer than the fastest, without load."""
        self.loss = 0.01 + 0.06 * draw[3] if poor else 0.003 * draw[3]
        """Chance to lose an echo without load."""
        self.swell = 0.02 + (0.5 if poor else 0.1) * draw[4]
        """Part of the base round trip that full load adds."""
        self.peak_ms = int((18 + 4 * draw[5]) * 3_600_000)
        """Time of day of full load, ms after midnight UTC."""
        self.outages_a_day = 0.4 if poor else 0.05
        self._day = -1
        self._outage = (0, 0)

    def load(self, at_ms: int) -> float:
        """How busy the link is, 0 to 1: full at its peak hour, idle twelve hours from it."""
        return 0.5 + 0.5 * math.cos((at_ms - self.peak_ms) % _DAY_MS * (2 * math.pi / _DAY_MS))

    def is_out(self, at_ms: int) -> bool:
        """Whether the link is in an outage, of which a day has one of 5 to 40 minutes or none."""
        day, moment = divmod(at_ms, _DAY_MS)
        if day != self._day:
            draw = self._draw("day", day)
            length = int(300_000 + 2_100_000 * draw[1])
            start = int((_DAY_MS - length) * draw[2])
            self._outage = (start, start + length) if draw[0] < self.outages_a_day else (0, 0)
            self._day = day
        return self._outage[0] <= moment < self._outage[1]

    def trips_ns(self, at_ms: int, count: int = ECHOES) -> list[int | None]:
        """Round trips of the echoes sent at this time, None for a lost one."""
        if self.is_out(at_ms):
            return [None] * count
        load = self.load(at_ms)
        settled = self.base_ns * (1 + self.swell * load)
        jitter = self.jitter_ns * (1 + load)
        loss = self.loss * (0.5 + load)
        trips: list[int | None] = []
        for block in range(0, count, 8):
            draw = self._draw("echo", at_ms, block)
            for lost, late in zip(draw[0::2], draw[1::2], strict=True):
                trips.append(None if lost < loss else int(settled - jitter * math.log(1 - late)))
        return trips[:count]

    def values(self, at_ms: int, count: int = ECHOES) -> tuple[int | None, ...]:
        """The columns of an echo reading of this time."""
        trips = self.trips_ns(at_ms, count)
        return (count, count - trips.count(None), 0, 0, 0, 0, *statistics(trips), 0, None)

    def _draw(self, what: str, when: int, block: int = 0) -> Sequence[float]:
        """Sixteen uniform numbers in [0, 1) that belong to this purpose and time alone."""
        mixed = self._hash.copy()
        mixed.update(b"/%s/%d/%d" % (what.encode(), when, block))
        return [word / _FULL for word in _WORDS.unpack(mixed.digest())]


class SimulatedProbe:
    """Measures the model of a link in place of the link; its readings say so."""

    kind = "echo"

    def __init__(self, settings: SimulatedSettings, clock: Clock | None = None) -> None:
        self._seed = settings.seed
        self._clock = clock or SystemClock()
        self._models: dict[str, LinkModel] = {}

    async def __call__(self, link: Link) -> Measurement:
        """One round, at once."""
        model = self._models.get(link.id)
        if model is None:
            model = self._models[link.id] = LinkModel(self._seed, link.id)
        return Measurement("echo", model.values(self._clock.wall_ms()), Flag.SIMULATED)

    def close(self) -> None:
        """Nothing is held."""
