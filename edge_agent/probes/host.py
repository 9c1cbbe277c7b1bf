"""Health of the machine that measures: CPU, temperature, memory, disk and power; costs no traffic."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from edge_agent.contract import KINDS, Outcome, row
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.host_settings import HostSettings
from edge_agent.probes.power_supply import read_power
from edge_agent.probes.probe import Measurement, ProbeError
from edge_agent.probes.raspberry_pi import throttled

T = TypeVar("T")

_CPU_SENSORS = ("cpu_thermal", "cpu-thermal", "coretemp", "k10temp", "soc_thermal", "soc-thermal")
"""Names under which the kernel tells the processor's temperature; else the hottest of all is taken."""
_FREEZING_CK = 27_315
_COLDEST_C, _HOTTEST_C = -100, 200
"""A sensor that says more is broken or not there."""
_LARGEST = {column.name: column.maximum for column in KINDS["host"].columns}


@dataclass(frozen=True, slots=True)
class HostState:
    """The machine at one moment: what is told of it, and what only differences make sense of."""

    told: Mapping[str, int | None]
    """By column of the contract."""
    cpu_busy_s: float
    cpu_all_s: float
    """Of all processors together, since the start of the machine."""
    agent_cpu_s: float


def read_host(disk: Path) -> HostState:
    """The machine now; what it does not tell is None. Raises ProbeError when its CPU times cannot be read."""
    import psutil  # here, so that an agent without this probe does not carry it (0.4 MiB)

    try:
        times = psutil.cpu_times()
        agent = psutil.Process()
        own = agent.cpu_times()
    except (OSError, psutil.Error) as exc:
        raise ProbeError(Outcome.FAILED, f"cannot read the machine's CPU times: {exc}") from exc
    # Guests are counted under user and nice already; waiting for a disk is idleness (proc(5), /proc/stat).
    everything = sum(times) - getattr(times, "guest", 0) - getattr(times, "guest_nice", 0)
    idle = times.idle + getattr(times, "iowait", 0)
    memory, swap = _told(psutil.virtual_memory), _told(psutil.swap_memory)
    told = {
        "load_1min_centi": _told(lambda: round(os.getloadavg()[0] * 100)),
        "memory_total_kib": memory and memory.total // 1024,
        "memory_available_kib": memory and memory.available // 1024,
        "swap_used_kib": swap and swap.used // 1024,
        **_disk(disk),
        "temperature_ck": _temperature(_told(psutil.sensors_temperatures) or {}),
        "frequency_mhz": _told(lambda: round(psutil.cpu_freq().current)) or None,
        "uptime_s": int(time.clock_gettime(time.CLOCK_BOOTTIME)),
        **_power(),
        "agent_rss_kib": _told(lambda: agent.memory_info().rss // 1024),
    }
    return HostState(told, everything - idle, everything, own.user + own.system)


def _told(ask: Callable[[], T]) -> T | None:
    """What psutil says, or None where this machine, or its container, has no such thing."""
    try:
        return ask()
    except (OSError, AttributeError, NotImplementedError, LookupError, ValueError):
        return None


def _disk(folder: Path) -> dict[str, int | None]:
    found = _told(lambda: os.statvfs(folder))
    return {
        "disk_total_kib": found and found.f_blocks * found.f_frsize // 1024,
        "disk_free_kib": found and found.f_bavail * found.f_frsize // 1024,
    }


def _power() -> dict[str, int | None]:
    power = read_power()
    return {
        "throttled": throttled(),
        "supply_mv": power.supply_mv,
        "battery_permille": power.battery_permille,
        "mains": None if power.mains is None else int(power.mains),
    }


def _temperature(sensors: Mapping[str, Any]) -> int | None:
    """The processor's hottest sensor in 0.01 K, else the hottest of all."""
    named = [sensors[name] for name in _CPU_SENSORS if name in sensors]
    heats = [each.current for group in named or sensors.values() for each in group]
    sound = [heat for heat in heats if heat is not None and _COLDEST_C < heat < _HOTTEST_C]
    return round(max(sound) * 100) + _FREEZING_CK if sound else None


def measurement(before: HostState | None, now: HostState, elapsed_s: float) -> Measurement:
    """The host reading; shares of CPU time are of the time since the round before.

    cpu_permille is of all processors together, agent_cpu_permille of one.
    """
    values = dict(now.told)
    if before and elapsed_s > 0:
        passed = now.cpu_all_s - before.cpu_all_s
        busy = (now.cpu_busy_s - before.cpu_busy_s) / passed if passed > 0 else 0
        values["period_ms"] = round(elapsed_s * 1000)
        values["cpu_permille"] = round(min(max(busy, 0), 1) * 1000)
        values["agent_cpu_permille"] = round((now.agent_cpu_s - before.agent_cpu_s) / elapsed_s * 1000)
    fitting = {
        name: None if value is None else min(max(value, 0), _LARGEST[name]) for name, value in values.items()
    }
    return Measurement("host", row("host", **fitting))


class HostProbe:
    """Looks at the machine and reports how it is and was since the round before."""

    kind = "host"

    def __init__(
        self,
        settings: HostSettings,
        read: Callable[[Path], HostState] = read_host,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._read = read
        self._monotonic = monotonic
        self._before: tuple[float, HostState] | None = None
        self._looking: asyncio.Task[tuple[float, HostState]] | None = None

    async def __call__(self, link: ProbedLink) -> Measurement:
        """One look; the link only names the series.

        It is taken beside the event loop: a sensor may take a second, a disk that is gone may never answer.
        Then the next round waits for the same look, as a thread cannot be stopped.
        """
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(asyncio.to_thread(self._look))
        at, state = await asyncio.shield(self._looking)
        earlier, before = self._before or (at, None)
        self._before = at, state
        return measurement(before, state, at - earlier)

    def _look(self) -> tuple[float, HostState]:
        return self._monotonic(), self._read(self._settings.disk)

    def close(self) -> None:
        """Nothing is held between rounds."""
