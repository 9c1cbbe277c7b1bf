"""Profiles: what is metered, by which settings it is measured, and on which interface it is booked."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.budget.limits import Limits
from edge_agent.probes.echo_settings import EchoSettings
from edge_agent.probes.resolve import _numeric
from edge_agent.profile import Profile
from edge_agent.series import make_series
from tests.edge_agent.profile_rig import Roads, config, link, meters

# --- what is metered ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        "metered=true",
        'medium="LTE"',
        'medium="vsat (Ku)"',
        'medium="4g/lte"',
        'interface="wwan0"',
        'interface="eth1"\nvlan="100"',
    ],
)
def test_auto_takes_a_link_for_metered_by_its_mark_its_medium_or_its_interface(
    tmp_path: Path, more: str
) -> None:
    budget = '[budget]\ninterfaces=["wwan0", "eth1"]\n'
    configured = config(tmp_path, link("a", more) + link("b", 'medium="fibre"'), more=budget)
    assert Profile(configured).metered_links == {"a"}
    assert [each.period_s for each in make_series(configured)] == [300, 10]


def test_a_profile_can_be_told(tmp_path: Path) -> None:
    links = link("a", "metered=true") + link("b")
    told = {
        kind: Profile(config(tmp_path, links, f'profile="{kind}"')).metered_links
        for kind in ("auto", "open", "metered")
    }
    assert told == {"auto": {"a"}, "open": set(), "metered": {"a", "b"}}


def test_an_open_gateway_has_no_budget_unless_an_interface_is_named(tmp_path: Path) -> None:
    links = link("a", "metered=true")
    assert not Profile(config(tmp_path, links, 'profile="open"')).is_anything_metered
    named = config(tmp_path, links, 'profile="open"', '[budget]\ninterfaces=["wwan0"]\n')
    assert Profile(named).is_anything_metered
    assert Profile(config(tmp_path, "", 'profile="metered"')).is_anything_metered


def test_each_profile_has_settings_of_its_own(tmp_path: Path) -> None:
    more = "[probe.echo]\ncount=7\n[metered.echo]\nperiod_s=600\n"
    configured = config(tmp_path, link("a", "metered=true") + link("b"), more=more)
    open_echo, metered_echo = configured.probes["echo"], configured.metered["echo"]
    assert isinstance(open_echo, EchoSettings)
    assert isinstance(metered_echo, EchoSettings)
    assert (open_echo.count, open_echo.period_s, open_echo.size) == (7, 10, 56)
    assert (metered_echo.count, metered_echo.period_s, metered_echo.size) == (20, 600, 32)
    assert metered_echo.round_bytes(20) == 20 * 2 * 60
    series = make_series(configured)
    assert [each.period_s for each in series] == [600, 10]
    assert series[0].probe is not series[1].probe


def test_the_gateways_own_readings_are_rare_where_nothing_is_open(tmp_path: Path) -> None:
    gateway = 'probes=["host"]'
    for links, period_s in ((link("a", "metered=true"), 900), (link("a"), 60), ("", 60)):
        assert make_series(config(tmp_path, links, gateway))[0].period_s == period_s


def test_limits_follow_the_links_of_an_interface(tmp_path: Path) -> None:
    links = link("a", 'metered=true\ninterface="wwan0"') + link("b", 'metered=true\ninterface="wwan0"')
    profile = Profile(config(tmp_path, links + link("c", 'metered=true\ninterface="ppp0"')))
    assert profile.meters == {"wwan0", "ppp0"}
    assert (profile.limits("wwan0").month, profile.limits("ppp0").month) == (60_000_000, 30_000_000)
    told = Profile(config(tmp_path, links, more="[budget]\nmonth_mb=100\nhour_mb=1\nreserve=0.2\n"))
    assert told.limits("wwan0") == Limits(100_000_000, 10_000_000, 1_000_000, 0.2)


def test_what_will_not_last_the_month_is_warned_about(tmp_path: Path) -> None:
    place = tmp_path / "agent.toml"
    dear = link("a", 'metered=true\ninterface="wwan0"')
    assert config(tmp_path, dear).warnings == ()
    assert config(tmp_path, dear, more="[metered.echo]\nperiod_s=200\n").warnings == (
        f"{place}: [budget] the probes on wwan0 cost up to 31.1 MB a month, of the 30.0 MB allowed with "
        "everything: rounds will be left out",
    )


# --- by which interface ---------------------------------------------------------------------------


def test_a_metered_link_is_booked_on_its_interface_and_an_open_one_beside_it_is_not(tmp_path: Path) -> None:
    links = link("a", 'metered=true\ninterface="eth0"') + link("b", 'interface="eth0"')
    configured, roads = config(tmp_path, links), Roads()
    found = meters(configured, roads)
    assert [found.of_link(each.probed, None) for each in configured.links] == ["eth0", ""]
    assert Profile(configured).meters == frozenset()  # eth0 alone does not tell
    assert not roads.asked


def test_a_link_without_an_interface_is_booked_where_the_kernel_sends_it(tmp_path: Path) -> None:
    links = link("a", "metered=true") + link("b")
    configured, roads = config(tmp_path, links, more='[budget]\ninterfaces=["wwan0", "eth1"]\n'), Roads()
    found = meters(configured, roads)
    endpoint = _numeric("192.0.2.1")
    told = {}
    for roads.index in (0, 2, 3, 4):
        told[roads.index] = [found.of_link(each.probed, endpoint) for each in configured.links]
    assert told == {0: ["", ""], 2: ["eth0", ""], 3: ["wwan0", "wwan0"], 4: ["eth1", "eth1"]}


def test_where_links_are_metered_that_name_no_interface_all_that_leaves_as_they_do_costs(
    tmp_path: Path,
) -> None:
    """A gateway with one LTE stick and no word of its interface: its batches cost as much as its echoes."""
    for links, meter in (
        (link("a", 'medium="lte"'), "eth0"),
        (link("a", 'medium="lte"') + link("b"), ""),
        (link("a", 'medium="lte"') + link("b", 'interface="eth0"'), ""),
        (link("a", 'medium="lte"') + link("b", 'interface="eth1"'), "eth0"),
        (link("a", 'medium="lte"').replace("192.0.2.1", "far.example"), "eth0"),
    ):
        found = meters(config(tmp_path, links), Roads())
        assert found.of_target(_numeric("198.51.100.1")) == found.of_way(2) == meter, links
        assert found.of_way("198.51.100.1") == found.of_way("::ffff:198.51.100.1") == meter
        assert found.of_way(9) == ""
