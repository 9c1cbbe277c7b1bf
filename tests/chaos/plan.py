"""What goes wrong in a trial, by kind of fault; drawn from a seed, so that it goes wrong again."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from edge_agent.contract import Loss
from tests.chaos.network import CALM, Weather


class Ending(Enum):
    """How a life ends."""

    STOP = auto()
    """SIGTERM, obeyed."""
    KILL = auto()
    """kill -9: what was written stays."""
    POWER = auto()
    """What was not synced may be gone."""


class Damage(Enum):
    """What happens to the files between two lives."""

    BITS = auto()
    SECTORS = auto()
    """Zeroed or overwritten with noise."""
    TORN = auto()
    """A file's end is cut off."""
    UNREADABLE = auto()
    """The medium answers EIO for a sector from now on."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One trial."""

    kind: str
    lives: int = 4
    life_s: tuple[float, float] = (15.0, 150.0)
    endings: tuple[Ending, ...] = (Ending.STOP, Ending.KILL, Ending.POWER)
    in_call: float = 0.0
    """Of the lives that do not stop: how many end within a call to the disk, the rest at a random time."""
    last_call: int = 0
    """The number of the call in which the first life ends; 0 to draw it."""
    stale: bool = False
    weather: Weather = CALM
    outages: float = 0.0
    """Of the lives: how many begin without a network, until some moment."""
    outage_s: float = 120.0
    """How long such an outage lasts at most."""
    cuts: bool = False
    """Whether connections break at random moments."""
    errors: tuple[int, ...] = ()
    """What calls to the disk fail with."""
    error_share: float = 0.0
    """Of the calls, in bad times."""
    writes_only: bool = False
    capacity: int = 1 << 30
    damage: tuple[Damage, ...] = ()
    clock: bool = False
    pauses: bool = False
    resends: bool = False
    alarms: bool = True
    links: int = 3
    period_s: float = 5.0
    commit_s: float = 10.0
    flush_s: float = 30.0
    batch_readings: int = 12
    max_bytes: int = 64 << 20
    when_full: str = "drop-oldest"
    order: str = "newest-first"
    max_waiting: int = 10_000
    allowed: frozenset[Loss] = field(default_factory=frozenset)
    """The reasons for which readings may be missing."""


SMALL_SPOOL = 1 << 17
"""B: filled on purpose within minutes."""

Draw = Callable[[random.Random], Plan]
BAD_WEATHER = Weather(unreachable=0.2, swallowed=0.1, ack_lost=0.15, cut=0.1, repeated=0.2, late_s=40.0)


def _base(kind: str, rng: random.Random) -> Plan:
    return Plan(
        kind,
        lives=rng.randint(2, 6),
        links=rng.randint(1, 5),
        period_s=rng.choice((1.0, 5.0, 10.0)),
        commit_s=rng.choice((0.5, 10.0, 60.0)),
        flush_s=rng.choice((5.0, 30.0, 60.0)),
        batch_readings=rng.choice((3, 12, 60)),
        order=rng.choice(("newest-first", "oldest-first")),
        max_bytes=rng.choice((1 << 20, 4 << 20)),
        when_full=rng.choice(("drop-oldest", "thin")),
        weather=replace(BAD_WEATHER, late_s=rng.choice((0.5, 5.0))) if rng.random() < 0.3 else CALM,
    )


def _power(rng: random.Random) -> Plan:
    return replace(_base("power cut", rng), endings=(Ending.POWER,), in_call=0.7, outages=0.3)


def _start(rng: random.Random) -> Plan:
    """The power goes again and again, each time soon after it has come."""
    plan = replace(_base("power cut at start", rng), endings=(Ending.POWER,), in_call=1.0, outages=0.3)
    return replace(plan, lives=8, last_call=rng.randint(1, 60), life_s=(5.0, 40.0))


def _stale(rng: random.Random) -> Plan:
    return replace(_power(rng), kind="power cut, stale sectors", stale=True)


def _kill(rng: random.Random) -> Plan:
    return replace(
        _base("kill -9", rng), endings=(Ending.KILL, Ending.KILL, Ending.POWER), in_call=0.7, outages=0.3
    )


def _network(rng: random.Random) -> Plan:
    plan = replace(_base("network", rng), weather=BAD_WEATHER, outages=0.5, cuts=True)
    return replace(plan, weather=replace(BAD_WEATHER, late_s=rng.choice((0.5, 5.0, 100.0))))


def _repeats(rng: random.Random) -> Plan:
    weather = Weather(ack_lost=0.3, repeated=0.5, late_s=200.0)
    return replace(_base("repeats, reordering", rng), weather=weather, cuts=True, resends=True)


def _refused(rng: random.Random) -> Plan:
    plan = replace(_base("refused", rng), weather=Weather(refused=0.3, ack_lost=0.05))
    return replace(plan, allowed=frozenset({Loss.REFUSED}), cuts=True)


def _disk_full(rng: random.Random) -> Plan:
    plan = replace(_base("disk full", rng), errors=(errno.ENOSPC,), error_share=rng.choice((0.05, 0.3, 1.0)))
    return replace(plan, writes_only=True, allowed=frozenset({Loss.FULL, Loss.THINNED}))


def _io_errors(rng: random.Random) -> Plan:
    plan = replace(_base("i/o errors", rng), errors=(errno.EIO,), error_share=rng.choice((0.02, 0.1, 0.5)))
    return replace(plan, writes_only=rng.random() < 0.7, in_call=0.3)


def _read_only(rng: random.Random) -> Plan:
    return replace(_base("read-only disk", rng), errors=(errno.EROFS,), error_share=1.0, writes_only=True)


def _clock(rng: random.Random) -> Plan:
    return replace(_base("clock", rng), clock=True, outages=0.3, lives=rng.randint(3, 6))


def _pauses(rng: random.Random) -> Plan:
    return replace(_base("pauses", rng), pauses=True, cuts=True, weather=replace(BAD_WEATHER, late_s=5.0))


def _full(rng: random.Random) -> Plan:
    plan = replace(
        _base("spool full", rng), outages=1.0, max_bytes=SMALL_SPOOL, period_s=1.0, links=10, outage_s=1e6
    )
    plan = replace(plan, batch_readings=rng.choice((12, 60)), commit_s=10.0, clock=False)
    return replace(plan, allowed=frozenset({Loss.FULL, Loss.THINNED}), lives=2, life_s=(150.0, 400.0))


def _damage(kind: str, what: Damage) -> Draw:
    def draw(rng: random.Random) -> Plan:
        plan = replace(_base(kind, rng), damage=(what,), outages=0.8)
        return replace(plan, allowed=frozenset({Loss.DAMAGED}))

    return draw


def _everything(rng: random.Random) -> Plan:
    plan = replace(_base("everything", rng), weather=BAD_WEATHER, outages=0.4, cuts=True, in_call=0.5)
    plan = replace(plan, clock=True, pauses=True, resends=True, lives=8)
    return replace(plan, errors=(errno.EIO, errno.ENOSPC), error_share=0.03, allowed=frozenset({Loss.FULL}))


KINDS: dict[str, Draw] = {
    "power cut": _power,
    "power cut at start": _start,
    "power cut, stale sectors": _stale,
    "kill -9": _kill,
    "network": _network,
    "repeats, reordering": _repeats,
    "refused": _refused,
    "disk full": _disk_full,
    "i/o errors": _io_errors,
    "read-only disk": _read_only,
    "clock": _clock,
    "pauses": _pauses,
    "spool full": _full,
    "bit flips": _damage("bit flips", Damage.BITS),
    "sectors overwritten": _damage("sectors overwritten", Damage.SECTORS),
    "torn files": _damage("torn files", Damage.TORN),
    "unreadable sectors": _damage("unreadable sectors", Damage.UNREADABLE),
    "everything": _everything,
}
"""Each kind of fault, with what draws a trial of it."""
