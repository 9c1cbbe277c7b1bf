"""Mains, battery and supply voltage, as the kernel's power supply class tells them.

Units follow the kernel's Documentation/power/power_supply_class.rst: voltage in µV, capacity in percent.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_agent.probes.sysfs import number, text

_CLASS = Path("/sys/class/power_supply")
_MOST = 32
"""Supplies that are looked at."""


@dataclass(frozen=True, slots=True)
class Power:
    """How the machine is fed; None for what it does not tell."""

    mains: bool | None = None
    """Whether a supply from outside is on line."""
    supply_mv: int | None = None
    """Of the outer supply that is on line, else of the battery."""
    battery_permille: int | None = None


def read_power(folder: Path = _CLASS) -> Power:
    """The machine's supplies; batteries of what is plugged into it (a mouse) do not count."""
    outer: list[Path] = []
    batteries: list[Path] = []
    for supply in sorted(folder.glob("*"))[:_MOST]:
        if text(supply / "scope") != "Device":
            (batteries if text(supply / "type") == "Battery" else outer).append(supply)
    online = [supply for supply in outer if number(supply / "online")]
    known = any(number(supply / "online") is not None for supply in outer)
    charge = _first(batteries, "capacity")
    voltage = _first([*online, *batteries], "voltage_now")
    return Power(
        bool(online) if known else None,
        None if voltage is None else (voltage + 500) // 1000,
        None if charge is None else min(charge, 100) * 10,
    )


def _first(supplies: list[Path], name: str) -> int | None:
    values = (number(supply / name) for supply in supplies)
    return next((value for value in values if value is not None), None)
