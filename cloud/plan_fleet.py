"""What is planned and what comes out: a fleet, a month's bill by line, and what it needs of AWS."""

from __future__ import annotations

from dataclasses import dataclass

MONTH_H = 730
"""Hours of a month, as AWS's own calculator has it."""
MONTH_S = MONTH_H * 3_600
MONTH_DAYS = MONTH_H / 24
PROVISIONED, ON_DEMAND = "provisioned", "on-demand"
STREAMS = (PROVISIONED, ON_DEMAND)


@dataclass(frozen=True, slots=True)
class Fleet:
    """What is planned."""

    gateways: int
    links: int
    """Of a gateway."""
    interval_s: float
    """A reading of each link so often."""
    batch_s: float
    """A batch of a gateway so often."""
    retention_days: int
    """Days that readings are kept."""
    stream: str = PROVISIONED
    """One of STREAMS."""

    @property
    def readings_s(self) -> float:
        """Readings a second of the whole fleet."""
        return self.gateways * self.links / self.interval_s

    @property
    def readings(self) -> float:
        """Readings a month."""
        return self.readings_s * MONTH_S


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the monthly bill."""

    name: str
    quantity: float
    unit: str
    usd: float
    fixed: bool = False
    """Due whether or not anything is sent."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a design needs of AWS."""

    messages_s: float
    """Messages a second."""
    shards: int
    """Of a provisioned stream, with room for a backlog."""
    parallelization: int
    """Batches of a shard at once: the template's ParallelizationFactor, 10 at most."""
    concurrency: int
    """Invocations of functions at once."""
    passes: int
    """Rollup schedules that share the gateways, so that each pass ends before the next; 0 for none."""
    writes_s: float
    """DynamoDB write units a second."""
    reads_s: float
    """DynamoDB read units a second."""
    stored_gb: float
    """In the tables, once all is there that is kept."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A design's bill of a month and its needs."""

    readings: float
    """A month."""
    lines: tuple[Line, ...]
    needs: Needs

    @property
    def variable_usd(self) -> float:
        """What grows with the fleet, US dollars a month."""
        return sum(line.usd for line in self.lines if not line.fixed)

    @property
    def fixed_usd(self) -> float:
        """Fees, US dollars a month."""
        return sum(line.usd for line in self.lines if line.fixed)

    @property
    def per_million(self) -> float:
        """US dollars for a million readings, fixed fees apart."""
        return self.variable_usd / self.readings * 1e6
