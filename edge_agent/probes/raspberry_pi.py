"""What the firmware of a Raspberry Pi says of its power and heat, through the kernel's sysfs.

The bits are those of `vcgencmd get_throttled`: 0 under-voltage, 1 frequency capped, 2 throttled, 3 soft
temperature limit, and 16 to 19 the same for "has occurred".
"""

from __future__ import annotations

from pathlib import Path

from edge_agent.probes.sysfs import number, text

UNDER_VOLTAGE_OCCURRED = 1 << 16
_SYS = Path("/sys")


def throttled(sys: Path = _SYS) -> int | None:
    """The firmware's flags; None on another machine.

    The upstream kernel tells only of under-voltage (hwmon rpi_volt), Raspberry Pi's own tells all.
    """
    for path in (sys / "bus/platform/drivers/raspberrypi-firmware").glob("*/get_throttled"):
        flags = number(path, 16)
        if flags is not None and flags < 1 << 32:
            return flags
    for path in (sys / "class/hwmon").glob("hwmon*/name"):
        if text(path) == "rpi_volt":
            alarm = number(path.parent / "in0_lcrit_alarm")
            return None if alarm is None else UNDER_VOLTAGE_OCCURRED * bool(alarm)
    return None
