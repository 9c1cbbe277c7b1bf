"""Latency under load: the round trip of a link by its own utilisation, from echoes that are sent anyway.

Nothing is sent for it: what the interface carried while a round of echoes was out decides how loaded the
link was for that round. Tests of responsiveness under working conditions saturate the link instead, which
costs more than a metered one can bear.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_agent.contract import Outcome, row
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.load_bins import NAMES, Bin, bin_of
from edge_agent.probes.load_settings import _LARGEST_KBPS, LoadSettings
from edge_agent.probes.probe import Measurement, ProbeError
from edge_agent.probes.sysfs import number

LEAST_REFERENCE_KBPS = 1_000
"""The largest rate seen is no reference below this: a link that never carried anything is not busy."""
SHORTEST_S = 0.02
"""A round shorter than this says little about a rate: one packet more or less would decide."""
_SYSFS = Path("/sys/class/net")


@dataclass(frozen=True, slots=True)
class Traffic:
    """What an interface has carried since it was made, and its negotiated speed where it has one."""

    rx_bytes: int
    tx_bytes: int
    speed_kbps: int | None


def read_traffic(interface: str, sysfs: Path = _SYSFS) -> Traffic | None:
    """The interface's counters and negotiated speed; None when it is gone."""
    folder = sysfs / interface
    received, sent = (number(folder / "statistics" / f"{each}_bytes") for each in ("rx", "tx"))
    if received is None or sent is None:
        return None
    speed = number(folder / "speed")  # Mbit/s; -1 or an error for an interface that has none
    return Traffic(received, sent, speed * 1000 if speed and speed < _LARGEST_KBPS // 1000 else None)


@dataclass(slots=True)
class _Watched:
    """A link whose echoes are followed."""

    before: tuple[float, Traffic] | None = None
    """When the round that is out began, and the traffic then."""
    rounds: int = 0
    largest_kbps: float = 0
    reference_kbps: int | None = None
    bins: dict[str, Bin] = field(default_factory=lambda: {name: Bin() for name in NAMES})


class LoadProbe:
    """Follows the echo rounds of links (see EchoProbe.observe) and reports them by load."""

    kind = "load"

    def __init__(
        self,
        settings: LoadSettings,
        rng: random.Random | None = None,
        read: Callable[[str], Traffic | None] = read_traffic,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._rng = rng or random.Random()
        self._read = read
        self._monotonic = monotonic
        self._watched: dict[str, _Watched] = {}

    def began(self, link: ProbedLink) -> None:
        """A round of echoes begins."""
        watched = self._watched.setdefault(link.id, _Watched())
        traffic = self._read(link.device) if link.device else None
        watched.before = (self._monotonic(), traffic) if traffic else None

    def ended(self, link: ProbedLink, trips_ns: Sequence[int | None]) -> None:
        """A round ended with these round trips, None for an echo without an answer; none: not measured."""
        watched = self._watched.get(link.id)
        if watched is None or watched.before is None:
            return
        (began, before), watched.before = watched.before, None
        seconds, now = self._monotonic() - began, self._read(link.device)
        if now is None or not trips_ns or seconds < SHORTEST_S:
            return
        grown = now.rx_bytes - before.rx_bytes, now.tx_bytes - before.tx_bytes
        if min(grown) < 0:
            return  # made anew, or a counter that wrapped: what passed is not known
        kilobits = max(grown) * 8 / 1000
        watched.rounds += 1
        watched.largest_kbps = max(watched.largest_kbps, kilobits / seconds)
        watched.reference_kbps = self._reference(watched, now)
        if watched.reference_kbps:
            answered = [trip for trip in trips_ns if trip is not None]
            name = bin_of(kilobits / seconds, watched.reference_kbps)
            watched.bins[name].add(answered, kilobits, seconds, self._rng)

    def _reference(self, watched: _Watched, now: Traffic) -> int | None:
        """kbit/s of a link in full use, None while that is not known."""
        given = self._settings.reference_kbps or now.speed_kbps
        seen = min(int(watched.largest_kbps), _LARGEST_KBPS)
        return given or (seen if seen >= LEAST_REFERENCE_KBPS else None)

    async def __call__(self, link: ProbedLink) -> Measurement:
        """The report since the one before; raises ProbeError when no round of echoes could be followed."""
        if not link.device:
            raise ProbeError(Outcome.NO_INTERFACE, f"link {link.id} names no interface")
        watched = self._watched.get(link.id)
        if watched is None:
            message = f"link {link.id} is not echoed: load is measured with the echo probe of the same link"
            raise ProbeError(Outcome.FAILED, message)
        if not watched.rounds:
            message = f"no round of echoes on {link.device} was complete since the report before"
            raise ProbeError(Outcome.FAILED, message)
        columns = {key: value for name in NAMES for key, value in watched.bins[name].columns(name).items()}
        reference = watched.reference_kbps
        self._watched[link.id] = _Watched(watched.before, largest_kbps=watched.largest_kbps)
        if reference is None:
            return Measurement("load", row("load"))
        return Measurement("load", row("load", reference_kbps=reference, **columns))

    def close(self) -> None:
        """Forget what was followed."""
        self._watched.clear()
