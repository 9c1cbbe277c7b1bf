"""Host: the machine as it is, shares of time since the round before, and null for what is not told."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge_agent.contract import KINDS
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.host import HostProbe, HostState, _temperature, measurement, read_host
from edge_agent.probes.host_settings import HostSettings

HOST = ProbedLink("host")
FIRST = HostState({"memory_total_kib": 1000, "temperature_ck": None}, 100.0, 1000.0, 5.0)
LATER = HostState({"memory_total_kib": 1000, "temperature_ck": 32_000}, 125.0, 1100.0, 5.5)
Values = dict[str, int | None]


def named(values: tuple[int | None, ...]) -> Values:
    return dict(zip((column.name for column in KINDS["host"].columns), values, strict=True))


def test_the_first_round_knows_the_state_and_no_shares() -> None:
    values = named(measurement(None, FIRST, 0).values)
    assert values["memory_total_kib"] == 1000
    assert [values[name] for name in ("period_ms", "cpu_permille", "agent_cpu_permille")] == [None] * 3


def test_later_rounds_tell_shares_of_the_time_since() -> None:
    values = named(measurement(FIRST, LATER, 50.0).values)
    assert [values[name] for name in ("period_ms", "cpu_permille", "agent_cpu_permille")] == [50_000, 250, 10]
    assert values["temperature_ck"] == 32_000


@pytest.mark.parametrize(
    ("busy", "everything", "share"), [(90.0, 1100.0, 0), (300.0, 1100.0, 1000), (100.0, 1000.0, 0)]
)
def test_cpu_times_that_went_back_or_stood_do_not_leave_the_range(
    busy: float, everything: float, share: int
) -> None:
    assert named(measurement(FIRST, HostState({}, busy, everything, 5.0), 50).values)["cpu_permille"] == share


def test_what_does_not_fit_its_column_is_its_largest_value() -> None:
    values = named(
        measurement(None, HostState({"memory_total_kib": 1 << 40, "uptime_s": -3}, 0, 0, 0), 0).values
    )
    assert (values["memory_total_kib"], values["uptime_s"]) == ((1 << 32) - 2, 0)


def test_a_probe_compares_each_round_with_the_one_before() -> None:
    states, times = iter([FIRST, LATER, LATER]), iter([10.0, 60.0, 70.0])
    probe = HostProbe(HostSettings(), lambda _: next(states), lambda: next(times))
    shares = [named(asyncio.run(probe(HOST)).values)["cpu_permille"] for _ in range(3)]
    assert shares == [None, 250, 0]


def test_a_look_that_takes_long_holds_nobody_up_and_is_not_begun_twice() -> None:
    answer, looks = threading.Event(), []

    def read(_: Path) -> HostState:
        looks.append(1)
        answer.wait(10)
        return FIRST

    async def main() -> None:
        probe = HostProbe(HostSettings(), read)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await probe(HOST)
        answer.set()
        assert named((await probe(HOST)).values)["memory_total_kib"] == 1000

    asyncio.run(main())
    assert len(looks) == 1


def test_this_machine_is_read() -> None:
    state = read_host(Path("/"))
    assert set(state.told) < {column.name for column in KINDS["host"].columns}
    for name in ("memory_total_kib", "memory_available_kib", "disk_total_kib", "uptime_s", "agent_rss_kib"):
        assert (state.told[name] or 0) > 0, name
    assert state.told["load_1min_centi"] is not None
    assert 0 < state.cpu_busy_s < state.cpu_all_s
    assert 0 < state.agent_cpu_s < state.cpu_all_s


def test_a_disk_that_is_not_there_is_unknown() -> None:
    assert read_host(Path("/nowhere")).told["disk_free_kib"] is None


def sensor(*degrees: float) -> list[SimpleNamespace]:
    return [SimpleNamespace(current=each) for each in degrees]


def test_the_processors_hottest_sensor_is_its_temperature() -> None:
    assert _temperature({"nvme": sensor(80), "coretemp": sensor(41.5, 44.25)}) == 4425 + 27_315
    assert _temperature({"nvme": sensor(38), "acpitz": sensor(20)}) == 3800 + 27_315
    assert _temperature({"cpu_thermal": sensor(-20)}) == -2000 + 27_315


@pytest.mark.parametrize("sensors", [{}, {"coretemp": []}, {"acpitz": sensor(-273.2, 65_535)}])
def test_a_machine_without_a_sound_sensor_has_no_temperature(
    sensors: dict[str, list[SimpleNamespace]],
) -> None:
    assert _temperature(sensors) is None


def test_psutil_is_loaded_by_the_first_reading_only() -> None:
    code = "import sys, edge_agent.probes.host; raise SystemExit('psutil' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_setting_out_of_range_is_named() -> None:
    with pytest.raises(ValueError, match=r"probe\.host: period_s is"):
        HostSettings(period_s=0)
