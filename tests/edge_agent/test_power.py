"""Power: what sysfs tells of a Raspberry Pi's flags, of supplies and of batteries, in made folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.probes.power_supply import Power, read_power
from edge_agent.probes.raspberry_pi import throttled
from edge_agent.probes.sysfs import number, text

FIRMWARE = "bus/platform/drivers/raspberrypi-firmware/soc:firmware/get_throttled"


def write(root: Path, **files: str) -> Path:
    """Files by path, with __ for a slash."""
    for name, content in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def firmware(root: Path, content: str) -> Path:
    path = root / FIRMWARE
    path.parent.mkdir(parents=True)
    path.write_text(content)
    return root


@pytest.mark.parametrize(("content", "flags"), [("0\n", 0), ("50005\n", 0x50005), ("0xf000f", 0xF000F)])
def test_the_flags_of_a_pi_are_read_as_hexadecimal(tmp_path: Path, content: str, flags: int) -> None:
    assert throttled(firmware(tmp_path, content)) == flags


@pytest.mark.parametrize("content", ["", "nonsense", "-1", "123456789", "\0"])
def test_flags_that_make_no_sense_are_unknown(tmp_path: Path, content: str) -> None:
    assert throttled(firmware(tmp_path, content)) is None


@pytest.mark.parametrize(("alarm", "flags"), [("0\n", 0), ("1\n", 1 << 16)])
def test_the_upstream_kernel_tells_of_under_voltage_alone(tmp_path: Path, alarm: str, flags: int) -> None:
    sensors = {"hwmon0/name": "cpu_thermal\n", "hwmon1/name": "rpi_volt\n", "hwmon1/in0_lcrit_alarm": alarm}
    for name, content in sensors.items():
        write(tmp_path / "class/hwmon", **{name.replace("/", "__"): content})
    assert throttled(tmp_path) == flags


def test_another_machine_has_no_such_flags(tmp_path: Path) -> None:
    assert throttled(write(tmp_path, class__hwmon__hwmon0__name="coretemp\n")) is None
    assert throttled(tmp_path / "nothing") is None


def test_a_battery_on_mains_is_told_with_the_voltage_of_the_mains(tmp_path: Path) -> None:
    write(tmp_path, AC__type="Mains\n", AC__online="1\n", AC__voltage_now="12100499\n")
    write(tmp_path, BAT0__type="Battery\n", BAT0__capacity="87\n", BAT0__voltage_now="3700000\n")
    assert read_power(tmp_path) == Power(mains=True, supply_mv=12_100, battery_permille=870)


def test_a_power_cut_leaves_the_battery(tmp_path: Path) -> None:
    write(tmp_path, AC__type="Mains\n", AC__online="0\n", AC__voltage_now="0\n")
    write(tmp_path, BAT0__type="Battery\n", BAT0__capacity="86\n", BAT0__voltage_now="3650000\n")
    assert read_power(tmp_path) == Power(mains=False, supply_mv=3_650, battery_permille=860)


def test_the_battery_of_a_mouse_is_not_the_machines(tmp_path: Path) -> None:
    write(tmp_path, hid__type="Battery\n", hid__scope="Device\n", hid__capacity="5\n")
    assert read_power(tmp_path) == Power()


def test_a_machine_that_tells_nothing_is_unknown_not_unpowered(tmp_path: Path) -> None:
    assert read_power(tmp_path) == Power() == read_power(tmp_path / "nothing")
    write(tmp_path, AC__type="Mains\n", BAT0__type="Battery\n", BAT0__capacity="many\n")
    assert read_power(tmp_path) == Power()


def test_a_file_of_the_kernel_is_read_within_bounds(tmp_path: Path) -> None:
    write(tmp_path, long="9" * 100_000, bytes="12", folder__x="")
    assert len(text(tmp_path / "long")) == 64
    assert number(tmp_path / "long") is None
    assert number(tmp_path / "folder") is None
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    assert number(tmp_path / "bytes") is None
