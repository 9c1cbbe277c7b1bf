"""The options of `edge-agent probe`: the settings and the link that they become."""

from __future__ import annotations

from argparse import Namespace

import pytest

from edge_agent.command_options import ALIASES, PROBE_KINDS
from edge_agent.config import ConfigError
from edge_agent.measure_options import NAMES, link_of, settings_of
from edge_agent.probes import SETTINGS, EchoSettings
from edge_agent.probes.binding import ProbedLink


def options(kind: str = "echo", /, **given: object) -> Namespace:
    plain: dict[str, object] = dict.fromkeys(("count", "interval", "timeout", "port", "name", "key_file"))
    plain |= dict.fromkeys(("interface", "vlan", "source", "mark", "next_hop"))
    return Namespace(**{**plain, "kind": kind, "target": "192.0.2.1", "set": [], **given})


def test_the_command_line_knows_every_probe_there_is() -> None:
    assert {NAMES[kind] for kind in (*PROBE_KINDS, *ALIASES)} == set(SETTINGS)


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_every_probe_has_settings_of_its_own_without_options(name: str) -> None:
    assert isinstance(settings_of(name, options(name)), SETTINGS[name])


def test_count_interval_and_timeout_make_a_round_that_gives_the_last_request_its_time() -> None:
    settings = settings_of("echo", options(count=20, interval=0.05, timeout=1.0))
    assert isinstance(settings, EchoSettings)
    assert (settings.count, settings.spacing_ms) == (20, 50)
    assert settings.wait_s == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("name", ["echo", "stamp", "connect", "dns"])
def test_a_hundred_requests_with_a_short_wait_still_fit_their_round(name: str) -> None:
    settings_of(name, options(name, count=100, timeout=0.001))


def test_any_setting_can_be_given_by_its_key() -> None:
    settings = settings_of("echo", options(set=["size=1000", "spacing=poisson"]))
    assert isinstance(settings, EchoSettings)
    assert (settings.size, settings.spacing) == (1000, "poisson")


def test_a_link_by_hand_is_kept_on_the_way_that_is_given() -> None:
    way = {"interface": "eth0", "vlan": "7", "source": "10.0.0.1", "mark": 5, "next_hop": "10.0.0.9"}
    expected = ProbedLink("192.0.2.1", "", "eth0", "10.0.0.9", "7", "192.0.2.1", source="10.0.0.1", mark=5)
    assert link_of("echo", options(**way)) == expected
    assert link_of("echo", options(**way)).device == "eth0.7"


@pytest.mark.parametrize("name", ["interface", "neighbour"])
def test_the_target_of_a_probe_of_an_interface_is_its_name(name: str) -> None:
    assert link_of(name, options(name, target="eth0")) == ProbedLink("eth0", interface="eth0")


def test_what_is_wrong_with_options_is_said_of_all_of_them_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        settings_of("dns", options("dns", count=0, set=["record=MX"]))
    assert [each.partition(": [probe.dns] ")[0] for each in caught.value.problems] == [
        "--count",
        "--set record",
    ]
    with pytest.raises(ConfigError, match="target"):
        link_of("echo", options(target="x" * 256))


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("echo", {"vlan": "5"}, "--interface is missing: whose VLAN is 5"),
        (
            "http",
            {"target": "http://10.0.0.1/"},
            "not a host: give its name or address, and --port and --set",
        ),
        ("tcp", {"target": "10.0.0.1:80"}, "not a host: give its name or address, and --port"),
        ("tcp", {"target": "[::1]:80"}, "not a host"),
        ("echo", {"target": "a\udcff"}, r"TARGET is 'a\\udcff', which has bytes"),
        ("host", {"target": "extra"}, "it takes no TARGET"),
        ("host", {"target": None, "interface": "eth0"}, "it takes no TARGET and no way"),
        ("interface", {"target": "eth0", "interface": "eth1"}, "two interfaces"),
        ("interface", {"target": None}, "TARGET is missing"),
        ("load", {}, "--interface is missing"),
    ],
)
def test_what_is_no_target_or_no_way_is_said(kind: str, given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        link_of(NAMES[kind], options(kind, **given))


@pytest.mark.parametrize("target", ["fd00::1", "fe80::1%eth0", "name.example", "10.0.0.1"])
def test_addresses_and_names_are_targets(target: str) -> None:
    assert link_of("echo", options(target=target)).target == target


def test_the_interface_may_be_given_by_its_option() -> None:
    assert link_of("interface", options("interface", target=None, interface="eth0")).interface == "eth0"
