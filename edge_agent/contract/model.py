"""Links, readings and batches, and the limits that they keep."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from edge_agent.contract.kinds import KINDS

Values = Sequence[int | None]

VERSION = 1
METERING_UNIT = 5120
"""Bytes of topic and payload that AWS IoT Core bills as one message (aws.amazon.com/iot-core/pricing)."""
MAX_BODY = 65_536
MAX_READINGS = 4_096
MAX_SPAN_MS = 3_600_000
"""A batch covers at most one hour, so that a range query knows how far before its start to look."""

GATEWAY_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
LINK_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,62}")


class ContractError(ValueError):
    """The bytes or values do not keep the contract; the message says where."""


class Flag(IntFlag):
    """What is known about how a reading was taken."""

    NONE = 0
    KERNEL_SENT = 1
    """The kernel stamped the transmission; unset, user space did."""
    KERNEL_RECEIVED = 2
    """The kernel stamped the reception; unset, user space did."""
    CLOCK_SYNCED = 4
    """The wall clock was synchronised when the reading was taken."""
    RESTAMPED = 8
    """Taken before the first synchronisation and stamped after it, from monotonic time."""
    SIMULATED = 16
    """A simulated link, not a measured one."""
    PATH_CHANGED = 32
    """The route, or the hop count of the replies, is not that of the round before: compare with care."""
    CLOCK_STEPPED = 64
    """The wall clock was set during the round; times that span the step are of the monotonic clock."""


class Outcome(IntEnum):
    """Whether the probe could measure; what it measured, loss included, is in the columns."""

    MEASURED = 0
    OVERRUN = 1
    """The round did not finish within its timeout: not measured, which is not loss."""
    DENIED = 2
    UNRESOLVED = 3
    UNREACHABLE = 4
    NO_INTERFACE = 5
    FAILED = 6
    OFF_PATH = 7
    """Routing would not take the link's next hop: something else would have been measured."""
    OVER_BUDGET = 8
    """The data budget did not allow the round; nothing was sent."""


@dataclass(frozen=True, slots=True)
class Link:
    """A directed link: an id that names a site and port, never an address."""

    id: str
    peer: str = ""
    interface: str = ""
    next_hop: str = ""
    vlan: str = ""
    target: str = ""
    medium: str = ""
    metered: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """One round of one probe on one link; ``values`` follow the columns of its kind, null as None."""

    link: str
    kind: str
    at_ms: int
    """Wall time at the start of the round, ms since 1970 UTC."""
    values: tuple[int | None, ...]
    flags: Flag = Flag.NONE
    outcome: Outcome = Outcome.MEASURED

    def __getitem__(self, column: str) -> int | None:
        """The stored integer of a column by name."""
        for spec, value in zip(KINDS[self.kind].columns, self.values, strict=True):
            if spec.name == column:
                return value
        raise KeyError(column)


@dataclass(frozen=True, slots=True)
class Batch:
    """Readings of one gateway, sealed once; (gateway, epoch, first_sequence) is its identity."""

    gateway: str
    epoch: int
    """63 bit; a new one for each new spool."""
    first_sequence: int
    sealed_ms: int
    readings: tuple[Reading, ...]
    links: tuple[Link, ...] = ()
    """Definitions of links, carried when they are new to the cloud."""

    @property
    def first_ms(self) -> int:
        """Time of the earliest reading, ms."""
        return min(reading.at_ms for reading in self.readings)

    @property
    def last_ms(self) -> int:
        """Time of the latest reading, ms."""
        return max(reading.at_ms for reading in self.readings)


def row(kind: str, **values: int | None) -> tuple[int | None, ...]:
    """The values of a kind in the order of its columns, null where not given; KeyError for a wrong name."""
    names = [column.name for column in KINDS[kind].columns]
    unknown = values.keys() - set(names)
    if unknown:
        raise KeyError(f"{kind} has no columns {sorted(unknown)}")
    return tuple(map(values.get, names))


def not_measured(link: str, kind: str, at_ms: int, outcome: Outcome, flags: Flag = Flag.NONE) -> Reading:
    """A reading that says only why there is no measurement."""
    return Reading(link, kind, at_ms, (None,) * len(KINDS[kind].columns), flags, outcome)
