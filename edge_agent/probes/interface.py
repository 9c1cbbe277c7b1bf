"""State, speed and traffic of the link's own interface, as the kernel counts it; costs no traffic."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from edge_agent.contract import Outcome, row
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.interface_settings import InterfaceSettings
from edge_agent.probes.netlink80211 import Station
from edge_agent.probes.probe import Measurement, ProbeError
from edge_agent.probes.socket_errors import interface_index
from edge_agent.probes.wifi import read_wifi

_UNKNOWN_MBPS = (0, 0xFFFF, 0xFFFFFFFF)
"""What drivers report for "no idea": nothing, or -1 in 16 or 32 bits."""
_FULL_DUPLEX = {2: True, 1: False}
"""psutil's NIC_DUPLEX_FULL and NIC_DUPLEX_HALF; any other is unknown."""
COUNTERS = (
    "rx_bytes",
    "tx_bytes",
    "rx_packets",
    "tx_packets",
    "rx_errors",
    "tx_errors",
    "rx_dropped",
    "tx_dropped",
)
_WRAP = 1 << 32
"""Where counters of 32 bits begin anew: those of some drivers, above all on 32-bit machines."""
_FASTEST_KBPS = 1_000_000
"""Assumed of an interface that does not report its speed, to tell a counter's wrap from its reset."""
_LEAST_FRAME = 60
"""Bytes of the shortest Ethernet frame that a driver counts: so many packets could pass at most."""
_SLACK = 1.1
"""The time between two readings is not exactly that between the kernel's two answers."""


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
    """COUNTERS since the interface was made."""
    wifi: Station | None = None


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
        read_wifi(name, index),
    )


def differences(
    before: InterfaceState | None, now: InterfaceState, elapsed_s: float
) -> tuple[int, ...] | None:
    """The growth of each counter; None when there is nothing sound to compare with.

    A counter that went down has wrapped at 32 bits if what then passed fits the time and the speed, else the
    counters were reset. A reset takes them all down, and so many packets never fit.
    """
    if before is None or before.index != now.index:
        return None
    most_bytes = int((now.speed_kbps or _FASTEST_KBPS) * 125 * elapsed_s * _SLACK)
    grown = []
    for name, old, new in zip(COUNTERS, before.totals, now.totals, strict=True):
        most = most_bytes if name.endswith("_bytes") else most_bytes // _LEAST_FRAME
        growth = new - old if new >= old else new - old + _WRAP
        if new < old and not (old < _WRAP and growth <= most < _WRAP):
            return None
        grown.append(growth)
    return tuple(grown)


def measurement(state: InterfaceState, elapsed_s: float, grown: tuple[int, ...] | None) -> Measurement:
    """The interface reading: its state, and what passed in so many seconds, null when that is not known."""
    wifi = state.wifi or Station()
    values = row(
        "interface",
        up=int(state.up),
        speed_kbps=state.speed_kbps,
        full_duplex=None if state.full_duplex is None else int(state.full_duplex),
        mtu=state.mtu,
        period_ms=round(elapsed_s * 1000) if grown else None,
        **dict(zip(COUNTERS, grown or (None,) * len(COUNTERS), strict=True)),
        signal_dbm=None if wifi.signal_dbm is None else max(-wifi.signal_dbm, 0),
        rx_bitrate_kbps=wifi.rx_bitrate_kbps,
        tx_bitrate_kbps=wifi.tx_bitrate_kbps,
    )
    return Measurement("interface", values)


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

    async def __call__(self, link: ProbedLink) -> Measurement:
        """One reading of the link's interface, its VLAN's where it has one."""
        if not link.device:
            raise ProbeError(Outcome.NO_INTERFACE, f"link {link.id} names no interface")
        try:
            state = self._read(link.device)
        except ProbeError:
            self._before.pop(link.id, None)  # what passed in a gap is unknown
            raise
        at = self._monotonic()
        earlier, before = self._before.get(link.id, (at, None))
        self._before[link.id] = at, state
        return measurement(state, at - earlier, differences(before, state, at - earlier))

    def close(self) -> None:
        """Nothing is held between rounds."""
