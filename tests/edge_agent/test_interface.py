"""Interface: state and traffic since the round before, and null where that is not known."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace

import pytest

from edge_agent.contract import KINDS, Outcome
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.interface import (
    InterfaceProbe,
    InterfaceState,
    differences,
    measurement,
    read_interface,
)
from edge_agent.probes.interface_settings import InterfaceSettings
from edge_agent.probes.netlink80211 import Station
from edge_agent.probes.probe import ProbeError
from tests.edge_agent.netns import needs_netns, run_in_netns

STATE = InterfaceState(3, True, 1_000_000, True, 1500, (1000, 2000, 10, 20, 0, 0, 0, 0))
GROWN = replace(STATE, totals=(1500, 2000, 15, 20, 1, 0, 2, 0))
NULLS = (None,) * 9
NO_WIFI = (None,) * 3
LINK = ProbedLink("uplink", interface="eth7")
WRAP = 1 << 32


class Scripted:
    """An interface whose states and times are given in advance; an error is raised."""

    def __init__(self, *states: InterfaceState | ProbeError) -> None:
        self._states = list(states)
        self._now = 100.0

    def read(self, name: str) -> InterfaceState:
        state = self._states.pop(0)
        self._now += 10.25
        if isinstance(state, ProbeError):
            raise state
        return state

    def monotonic(self) -> float:
        return self._now


def rounds(*states: InterfaceState | ProbeError) -> list[tuple[int | None, ...] | Outcome]:
    """What each round of one probe gives."""
    scripted = Scripted(*states)
    probe = InterfaceProbe(InterfaceSettings(), scripted.read, scripted.monotonic)
    results: list[tuple[int | None, ...] | Outcome] = []
    for _ in states:
        try:
            results.append(asyncio.run(probe(LINK)).values)
        except ProbeError as error:
            results.append(error.outcome)
    return results


def test_the_first_round_knows_the_state_and_no_traffic() -> None:
    assert rounds(STATE) == [(1, 1_000_000, 1, 1500, *NULLS, *NO_WIFI)]
    assert len(KINDS["interface"].columns) == 4 + len(NULLS) + len(NO_WIFI)


def test_later_rounds_report_what_passed_since_and_in_how_long() -> None:
    assert rounds(STATE, GROWN)[1] == (1, 1_000_000, 1, 1500, 10_250, 500, 0, 5, 0, 1, 0, 2, 0, *NO_WIFI)


def test_a_counter_that_went_down_makes_all_traffic_unknown_until_the_next_round() -> None:
    results = rounds(GROWN, STATE, GROWN)
    assert results[1] == (1, 1_000_000, 1, 1500, *NULLS, *NO_WIFI)
    assert results[2] == (1, 1_000_000, 1, 1500, 10_250, 500, 0, 5, 0, 1, 0, 2, 0, *NO_WIFI)


def wrapped(old: int, new: int, speed_kbps: int | None = 100_000, seconds: float = 10) -> int | None:
    """How many bytes were received, by a counter that went from one value to the other; None: unknown."""
    before = replace(STATE, speed_kbps=speed_kbps, totals=(old, *STATE.totals[1:]))
    grown = differences(before, replace(before, totals=(new, *STATE.totals[1:])), seconds)
    return grown[0] if grown else None


def test_a_counter_of_32_bits_that_wrapped_has_grown() -> None:
    assert wrapped(WRAP - 1_000, 500) == 1_500
    assert wrapped(WRAP - 1, 0) == 1


@pytest.mark.parametrize(
    ("speed_kbps", "seconds", "most"),
    [(100_000, 10, 137_500_000), (None, 1, 137_500_000), (1_000, 60, 8_250_000)],
)
def test_a_wrap_is_believed_only_of_what_fits_the_speed(
    speed_kbps: int | None, seconds: float, most: int
) -> None:
    assert wrapped(WRAP - most + 1_000, 1_000, speed_kbps, seconds) == most
    assert wrapped(WRAP - most + 999, 1_000, speed_kbps, seconds) is None


def test_a_wrap_is_not_believed_of_a_counter_of_64_bits_or_of_a_speed_that_could_wrap_twice() -> None:
    assert wrapped(WRAP + 5, WRAP - 5) is None
    assert wrapped(2 * WRAP - 5, 5) is None
    assert wrapped(WRAP - 5, 5, speed_kbps=10_000_000) is None


def test_counters_that_were_reset_are_not_taken_for_wraps() -> None:
    """Bytes near the wrap alone would fool the check, the packets with them do not."""
    before = replace(STATE, totals=(WRAP - 9, 0, 3_000_000, 0, 0, 0, 0, 0))
    assert differences(before, replace(STATE, totals=(0,) * 8), 10) is None
    packets = replace(STATE, totals=(5_000, 2000, WRAP - 3, 20, 0, 0, 0, 0))
    passed = differences(packets, replace(STATE, totals=(6_000, 2000, 5, 20, 0, 0, 0, 0)), 10)
    assert passed == (1_000, 0, 8, 0, 0, 0, 0, 0)


def test_the_signal_is_told_in_dbm_below_zero_and_rates_where_they_are_known() -> None:
    state = replace(STATE, wifi=Station(-61, 866_700, None))
    assert measurement(state, 0, None).values[-3:] == (61, 866_700, None)
    assert measurement(replace(STATE, wifi=Station(3)), 0, None).values[-3:] == (0, None, None)


def test_a_vlan_is_read_at_its_own_interface() -> None:
    asked: list[str] = []

    def read(name: str) -> InterfaceState:
        asked.append(name)
        return STATE

    asyncio.run(InterfaceProbe(InterfaceSettings(), read)(ProbedLink("a", interface="eth0", vlan="100")))
    assert asked == ["eth0.100"]


def test_an_interface_made_anew_is_not_compared_with_the_old_one() -> None:
    assert differences(STATE, GROWN, 10) is not None
    assert differences(STATE, replace(GROWN, index=4), 10) is None


def test_what_passed_while_the_interface_was_gone_is_unknown() -> None:
    gone = ProbeError(Outcome.NO_INTERFACE, "gone")
    assert rounds(STATE, gone, GROWN)[1:] == [Outcome.NO_INTERFACE, (1, 1_000_000, 1, 1500, *NULLS, *NO_WIFI)]


def test_what_the_driver_does_not_report_is_null_not_zero() -> None:
    state = replace(STATE, up=False, speed_kbps=None, full_duplex=None)
    assert rounds(state) == [(0, None, None, 1500, *NULLS, *NO_WIFI)]
    assert rounds(replace(state, full_duplex=False))[0] == (0, None, 0, 1500, *NULLS, *NO_WIFI)


def test_two_links_on_one_interface_have_differences_of_their_own() -> None:
    scripted = Scripted(STATE, GROWN)
    probe = InterfaceProbe(InterfaceSettings(), scripted.read, scripted.monotonic)
    asyncio.run(probe(LINK))
    assert asyncio.run(probe(ProbedLink("other", interface="eth7"))).values[4:13] == NULLS


def test_a_link_without_an_interface_is_told() -> None:
    with pytest.raises(ProbeError, match="uplink names no interface") as caught:
        asyncio.run(InterfaceProbe(InterfaceSettings())(ProbedLink("uplink")))
    assert caught.value.outcome is Outcome.NO_INTERFACE


def test_a_missing_interface_is_named() -> None:
    with pytest.raises(ProbeError, match="'nope0'") as caught:
        read_interface("nope0")
    assert caught.value.outcome is Outcome.NO_INTERFACE


def test_loopback_is_up_and_has_no_speed() -> None:
    state = read_interface("lo")
    assert (state.up, state.speed_kbps, state.full_duplex) == (True, None, None)
    assert state.mtu > 1000 and len(state.totals) == 8


def test_psutil_is_loaded_by_the_first_reading_only() -> None:
    code = "import sys, edge_agent.probes.interface; raise SystemExit('psutil' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_setting_out_of_range_is_named() -> None:
    with pytest.raises(ValueError, match=r"probe\.interface: period_s is"):
        InterfaceSettings(period_s=0)
    with pytest.raises(ValueError, match=r"probe\.interface: timeout_s is"):
        InterfaceSettings(timeout_s=20)


@needs_netns
def test_a_real_interface_is_followed_through_traffic_down_gone_and_anew() -> None:
    said = run_in_netns("""
        async def main():
            probe = InterfaceProbe(InterfaceSettings())
            link = ProbedLink("a", target="10.9.0.2", interface="v0")
            echo = EchoProbe(EchoSettings(spacing_ms=2))
            async def tell():
                result = await outcome(probe, link)
                if isinstance(result, ProbeError):
                    return print(result.outcome.name)
                up, speed, duplex, mtu, period, _, _, received, sent, *_ = result.values
                known = period is not None and received >= 5 and sent >= 5
                print(up, speed, duplex, mtu, known if period is not None else "first")
            holder = veth()
            try:
                await tell()
                await echo(link)
                await tell()
                ip("link", "set", "v0", "down", "mtu", "1400")
                await tell()
                ip("link", "del", "v0")
                await tell()
                connect(holder)
                await echo(link)
                await tell()
            finally:
                holder.kill()
                echo.close()
        asyncio.run(main())
    """)
    speed = "1 10000000 1 1500"  # what the veth driver reports
    assert said.splitlines() == [
        f"{speed} first",
        f"{speed} True",
        "0 10000000 1 1400 False",
        "NO_INTERFACE",
        f"{speed} first",
    ]
