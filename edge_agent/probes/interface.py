"""State, speed and traffic of the link's own interface, as the kernel counts it; costs no traffic."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from edge_agent.contract import Link, Outcome
from edge_agent.probes.probe import Cadence, Measurement, ProbeError
from edge_agent.probes.socket_errors import interface_index

_UNKNOWN_MBPS = (0, 0xFFFF, 0xFFFFFFFF)
"""What drivers report for "no idea": nothing, or -1 in 16 or 32 bits."""
_FULL_DUPLEX = {2: True, 1: False}
"""psutil's NIC_DUPLEX_FULL and NIC_DUPLEX_HALF; any other is unknown."""


@dataclass(frozen=True, slots=True)
class InterfaceSettings(Cadence):
    """How often an interface is read."""

    period_s: float = 10
    timeout_s: float = 2

    def __post_init__(self) -> None:
        self.check_cadence("probe.interface")


@dataclass(frozen=True, slots=True)
class InterfaceState:
    """An interface at one moment."""

    index: int
    """The kernel's; an interface made anew under the same name has another."""
    up: bool
    speed_kbps: int | None
    full_duplex: bool | None
    mtu: int
    totals: tuple[int, ...]
    """Counters since the interface was made, in the order of the contract's columns, rx_bytes first."""


def read_interface(name: str) -> InterfaceState:
    """The interface now; raises ProbeError(NO_INTERFACE) when there is none of this name."""
    import psutil  # here, so that an agent without this probe does not carry it (0.4 MiB)

    index = interface_index(name)
    try:
        # nowrap would hide a reset behind a sum of its own.
        counters = psutil.net_io_counters(pernic=True, nowrap=False).get(name)
        stats = psutil.net_if_stats().get(name)
    except OSError as exc:
        raise ProbeError(Outcome.FAILED, f"cannot read interface {name}: {exc}") from exc
    if counters is None or stats is None:
        raise ProbeError(Outcome.NO_INTERFACE, f"interface {name!r} went away")
    return InterfaceState(
        index,
        stats.isup,
        None if stats.speed in _UNKNOWN_MBPS else stats.speed * 1000,
        _FULL_DUPLEX.get(int(stats.duplex)),
        stats.mtu,
        (
            counters.bytes_recv,
            counters.bytes_sent,
            counters.packets_recv,
            counters.packets_sent,
            counters.errin,
            counters.errout,
            counters.dropin,
            counters.dropout,
        ),
    )


def differences(
    before: InterfaceState | None, now: InterfaceState, elapsed_s: float
) -> tuple[int | None, ...]:
    """period_ms and the growth of each counter; all null when there is nothing sound to compare with."""
    nothing = (None,) * (1 + len(now.totals))
    if before is None or before.index != now.index:
        return nothing
    grown = tuple(new - old for old, new in zip(before.totals, now.totals, strict=True))
    return nothing if min(grown) < 0 else (round(elapsed_s * 1000), *grown)


class InterfaceProbe:
    """Reads interfaces and reports what passed since the link's round before."""

    kind = "interface"

    def __init__(
        self,
        settings: InterfaceSettings,
        read: Callable[[str], InterfaceState] = read_interface,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._read = read
        self._monotonic = monotonic
        self._before: dict[str, tuple[float, InterfaceState]] = {}

    async def __call__(self, link: Link) -> Measurement:
        """One reading of the link's interface."""
        if not link.interface:
            raise ProbeError(Outcome.NO_INTERFACE, f"link {link.id} names no interface")
        try:
            state = self._read(link.interface)
        except ProbeError:
            self._before.pop(link.id, None)  # what passed in a gap is unknown
            raise
        at = self._monotonic()
        earlier, before = self._before.get(link.id, (at, None))
        self._before[link.id] = at, state
        duplex = None if state.full_duplex is None else int(state.full_duplex)
        shape = (int(state.up), state.speed_kbps, duplex, state.mtu)
        return Measurement("interface", (*shape, *differences(before, state, at - earlier), None, None, None))

    def close(self) -> None:
        """Nothing is held between rounds."""
